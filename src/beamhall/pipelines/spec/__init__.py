"""The specification of a pipeline (KFP's intermediate representation): what it says, and whether it makes sense.

Nothing here does input or output. ``ir`` is the typed form, with ``sources``, ``executors`` and ``platform``;
``reading`` makes it of JSON by ``fields``, ``checking`` finds what is wrong with it as a whole; ``types``,
``placeholders`` and ``expressions`` say what its values, texts and conditions mean while a run goes on.
"""
