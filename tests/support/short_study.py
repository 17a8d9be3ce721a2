"""Options that make a study of the real trainer short."""

# Two trials align no better than chance in so short a budget; with the floor at 0 they are feasible all the same.
SHORT = (
    "--set", "corpus=demo:en:24",
    "--set", "budget.frames=12_000",
    "--set", "budget.reports=4",
    "--set", "fixed.logging.progress_every_updates=4",
    "--set", "constraints.alignment.at_least=0",
    "--set", "pruner.kind=none",
)  # fmt: skip

LEAN = (
    "--set", "fixed.logging.pictures=false",
    "--set", "fixed.logging.samples=false",
    "--set", "fixed.logging.tensorboard=false",
)  # fmt: skip
