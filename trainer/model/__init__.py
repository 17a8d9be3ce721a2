"""Tacotron 2 (Shen et al. 2018, arXiv:1712.05884), one file per part."""

from trainer.model.tacotron2 import Tacotron2, Tacotron2Output

__all__ = ["Tacotron2", "Tacotron2Output"]
