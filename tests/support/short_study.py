"""Options that make a study of the real trainer short."""

# A model of some ten thousand weights: an update takes a hundredth of a second, a checkpoint some hundred kilobytes.
SMALL_MODEL = (
    "--set", "fixed.model.embedding_dim=16",
    "--set", "fixed.model.encoder_dim=16",
    "--set", "fixed.model.prenet_dim=16",
    "--set", "fixed.model.attention_rnn_dim=16",
    "--set", "fixed.model.attention_dim=16",
    "--set", "fixed.model.decoder_rnn_dim=16",
    "--set", "fixed.model.postnet_dim=16",
)  # fmt: skip

# In so short a budget trials align no better than chance and no sentence ends; such constraints make them feasible.
SHORT = (
    *SMALL_MODEL,
    "--set", "corpus=demo:en:24",
    "--set", "budget.frames=8_000",
    "--set", "budget.reports=2",
    "--set", "fixed.logging.progress_every_updates=4",
    "--set", "constraints.alignment.at_least=0",
    "--set", "constraints.free_running_alignment.at_least=0",
    "--set", "constraints.failed.at_most=1",
    "--set", "pruner.kind=none",
)  # fmt: skip

LEAN = (
    "--set", "fixed.logging.pictures=false",
    "--set", "fixed.logging.samples=false",
    "--set", "fixed.logging.tensorboard=false",
)  # fmt: skip
