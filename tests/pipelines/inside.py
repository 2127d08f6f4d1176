"""The SDK's client in a step, told nothing: it finds the service, and acts as the account of the step's Pod."""

import sys

from kfp import dsl

from tests.pipelines.cases import Ended, checks

_PROGRAM = """
import sys, warnings
warnings.simplefilter("ignore")
import kfp, kfp_server_api
client = kfp.Client()
seen = {run.run_id for run in client.list_runs(page_size=200).runs}
with open(sys.argv[1], "w") as file:
    file.write(" ".join([client._existing_config.host, str(sys.argv[2] in seen), client.get_run(sys.argv[2]).state]))
try:
    client.create_experiment("of-a-step")
except kfp_server_api.ApiException as error:
    open(sys.argv[3], "w").write(str(error.status))
"""


@dsl.container_component
def call(
    run: str,
    found: dsl.OutputPath(str),
    refused: dsl.OutputPath(int),
):
    # The program of these tests, since their environment has the SDK.
    program = ["env", "PYTHONPATH=", sys.executable, "-c", _PROGRAM]
    return dsl.ContainerSpec(image="busybox", command=program, args=[found, run, refused])


@dsl.pipeline(name="called-from-a-step")
def called_from_a_step():
    call(run=dsl.PIPELINE_JOB_ID_PLACEHOLDER)


@checks(called_from_a_step)
def _(run: Ended) -> None:
    host, *rest = run.output("/call", "found").split()
    assert "ml-pipeline" in host
    assert rest == ["True", "RUNNING"]
    assert run.output("/call", "refused") == 403
