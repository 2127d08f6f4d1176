#!/bin/sh
# Pins the requirements of the catalog's environments anew: what is wanted stands in NAME.in beside this file.
# Without index addresses and annotations, so that no machine's setup gets into the project. See images.yaml for use.
set -eu
here=$(dirname "$0")
there=$here/../../src/beamhall/catalog/shipped/requirements
for name in huggingface jax jupyterlab kfp mpi paddle scikit-learn tensorflow xgboost; do
  uv pip compile "$here/$name.in" --universal --python-version 3.11 --generate-hashes \
    --no-emit-index-url --no-emit-find-links --no-annotate --no-header --quiet --upgrade --output-file "$there/$name.txt"
done
# PyTorch: no hashes, and none of the CUDA packages that the builds of the main index need; see the file's head.
{
  sed -n '/^#/p' "$there/pytorch.txt"
  uv pip compile "$here/pytorch.in" --universal --python-version 3.11 --no-emit-index-url --no-emit-find-links \
    --no-annotate --no-header --quiet |
    grep -vE '^(nvidia|cuda|triton)' | sed -E 's/^torch==([0-9.]+).*/torch==\1/' | uniq
} > "$there/pytorch.txt.new"
mv "$there/pytorch.txt.new" "$there/pytorch.txt"
