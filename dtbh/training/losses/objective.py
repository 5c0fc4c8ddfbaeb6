"""The objective of a run: a weighted sum of terms, each a function of what the towers say of a batch.

Comes in: the settings of ``learning``, and batch after batch. The terms stand in ``terms.py``; a new one is a
function and a line in ``TERMS``, and its parameters are its keyword-only arguments.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from torch import Tensor, nn

from dtbh.config import Learning, check_parameters, hint
from dtbh.errors import ConfigError
from dtbh.training.losses import contrastive, pairwise, quantization, triplet, words
from dtbh.training.losses.base import Sides
from dtbh.training.losses.memory_bank import MemoryContrast

TERMS: dict[str, Callable[..., Any]] = {
    "feature_triplets": triplet.feature_triplets,
    "code_triplets": triplet.code_triplets,
    "embedding_triplets": triplet.embedding_triplets,
    "unit_triplets": triplet.unit_triplets,
    "lossless_triplets": triplet.lossless_triplets,
    "pairwise_likelihood": pairwise.pairwise_likelihood,
    "pair_contrast": pairwise.pair_contrast,
    "pair_in_class": contrastive.pair_in_class,
    "feature_contrast": contrastive.feature_contrast,
    "code_contrast": contrastive.code_contrast,
    "memory_contrast": MemoryContrast,
    "learned_centres": contrastive.LearnedCentres,
    "central_similarity": pairwise.central_similarity,
    "orthogonal_centres": pairwise.orthogonal_centres,
    "classification": pairwise.Classification,
    **words.TERMS,
    "approximate_l1": quantization.approximate_l1,
    "quantization": quantization.quantization,
    "push": quantization.push,
    "balance": quantization.balance,
    "item_balance": quantization.item_balance,
    "decorrelation": contrastive.decorrelation,
}
"""Functions of `Sides` that give a scalar tensor; or, where a term has weights or a memory of its own, classes of
``nn.Module`` that do so when called. Parameters are keyword-only and are given by name in the config; ``margin``,
``selection`` and ``within`` come from ``learning`` where they are not given, and ``bits``, ``classes`` (their
number) and ``feature_dim`` from the run."""


class Loss(NamedTuple):
    """What one batch costs.

    Attributes:
        total: Scalar with gradient.
        terms: Each term before its weight.
    """

    total: Tensor
    terms: dict[str, Tensor]


class Objective(nn.Module):
    """The weighted sum that the settings name.

    Args:
        settings: The terms with their weights and parameters, and what they share.
        sizes: ``bits``, ``classes``, ``feature_dim`` and ``words``, for terms that ask for them.

    Raises:
        ConfigError: No such term, or a parameter that it does not have, lacks or refuses; names the nearest.
    """

    def __init__(self, settings: Learning, sizes: Mapping[str, int]) -> None:
        super().__init__()
        self.warmup_epochs = settings.warmup_epochs
        self.weights = {name: term.weight for name, term in settings.terms.items() if term.weight}
        if not self.weights:
            raise ConfigError("learning.terms: every weight is 0, so nothing would be learned")
        shared = {name: value for name, value in settings if name != "terms"} | dict(sizes)
        self._calls: dict[str, tuple[Callable[..., Tensor], dict[str, Any]]] = {}
        self._with_state = nn.ModuleDict()  # so that their tensors are trained, moved and kept in checkpoints
        for name, term in settings.terms.items():
            where = f"learning.terms.{name}"
            if name not in TERMS:
                raise ConfigError(f"{where}: no such term; {hint(name, list(TERMS))}")
            if name not in self.weights:
                continue  # what it lacks does not matter
            parameters = check_parameters(TERMS[name], term.parameters, shared, where)
            if isinstance(TERMS[name], type):
                self._with_state[name] = TERMS[name](**parameters)
                self._calls[name] = (self._with_state[name], {})
            else:
                self._calls[name] = (TERMS[name], parameters)

    def forward(self, sides: Sides, *, epoch: int = 0) -> Loss:
        """The loss of a batch; in the epochs of the warm-up all triplets are taken."""
        found = {name: self._term(name, sides, epoch) for name in self.weights}
        total = sum((self.weights[name] * term for name, term in found.items()), start=sides[0].codes.new_zeros(()))
        return Loss(total, {name: term.detach() for name, term in found.items()})

    def _term(self, name: str, sides: Sides, epoch: int) -> Tensor:
        term, parameters = self._calls[name]
        if epoch < self.warmup_epochs and "selection" in parameters:
            parameters = {**parameters, "selection": "all"}
        return term(sides, **parameters)
