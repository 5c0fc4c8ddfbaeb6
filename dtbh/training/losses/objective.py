"""The objective of a run: a weighted sum of losses, each a function of the towers' outputs for a batch."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from inspect import signature
from typing import Any, NamedTuple

from torch import Tensor, nn

from dtbh.config import Learning, check_parameters, hint
from dtbh.errors import ConfigError
from dtbh.training.losses.base import Sides, known_losses
from dtbh.training.losses.mining import MINERS

SEVERAL = "some have several labels: take another that compares items"


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
        several: Whether items have several labels, so that terms of classes (those that ask for ``classes``) can't be.

    Raises:
        ConfigError: No such term, or a parameter that it does not have, lacks or refuses; names the nearest. Or a term
            or selection that takes one class an item, where they have several.
    """

    def __init__(self, settings: Learning, sizes: Mapping[str, int], *, several: bool = False) -> None:
        super().__init__()
        self.warmup_epochs = settings.warmup_epochs
        self.weights = {name: term.weight for name, term in settings.losses.items() if term.weight}
        if not self.weights:
            raise ConfigError("learning.losses: every weight is 0, so nothing would be learned")
        shared = {name: value for name, value in settings if name != "losses"} | dict(sizes)
        self._calls: dict[str, tuple[Callable[..., Tensor], dict[str, Any]]] = {}
        self._with_state = nn.ModuleDict()  # so that their tensors are trained, moved and kept in checkpoints
        losses = known_losses()
        if settings.selection not in MINERS:
            raise ConfigError(
                f"learning.selection: no selection {settings.selection!r}; {hint(settings.selection, list(MINERS))}"
            )
        if several and "alike" not in signature(MINERS[settings.selection]).parameters:
            raise ConfigError(f"learning.selection: {settings.selection} takes one class an item; {SEVERAL}")
        for name, term in settings.losses.items():
            where = f"learning.losses.{name}"
            if name not in losses:
                raise ConfigError(f"{where}: no such term; {hint(name, list(losses))}")
            if name not in self.weights:
                continue  # what it lacks does not matter
            if several and "classes" in signature(losses[name]).parameters:
                raise ConfigError(f"{where}: takes one class an item; {SEVERAL}, or set its weight to 0")
            parameters = check_parameters(losses[name], term.parameters, shared, where)
            if isinstance(losses[name], type):
                self._with_state[name] = losses[name](**parameters)
                self._calls[name] = (self._with_state[name], {})
            else:
                self._calls[name] = (losses[name], parameters)

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
