"""Pretrained models: other people's weights read into our own modules, strictly."""

from unrolled.transfer.families import FAMILIES
from unrolled.transfer.pretrained import NotAtHand, pretrained, tokenizer, weights_back

__all__ = ["FAMILIES", "NotAtHand", "pretrained", "tokenizer", "weights_back"]
