"""How long a training lasts, and how its learning rate falls meanwhile."""

from dataclasses import dataclass

from SACBRegistrationLib.training.state import TrainingProgress

DECAY_POWER = 0.9


@dataclass(frozen=True)
class Schedule:
    """The end of a training: what comes first of epochs, steps and minutes.

    Attributes:
        epochs: Passes over all training pairs, or None.
        steps: Steps of the optimiser, or None.
        minutes: Minutes of training, those before a resumption counted, or None.
        epoch_length: Pairs of an epoch, or None.
    """

    epochs: int | None
    steps: int | None
    minutes: float | None
    epoch_length: int | None

    def fraction(self, done: TrainingProgress) -> float:
        """Returns which part of the training is done, at most 1."""
        parts = [0.0, *self._parts_but_epochs(done)]
        if self.epochs is not None and self.epoch_length:
            parts.append(done.samples / (self.epochs * self.epoch_length))
        return min(max(parts), 1.0)

    def decay(self, done: TrainingProgress) -> float:
        """Returns the factor on the learning rate, (1 - part done) to the power 0.9.

        Over epochs it falls from one epoch to the next, as published; over steps or minutes at every step.
        """
        parts = [0.0, *self._parts_but_epochs(done)]
        if self.epochs is not None and self.epoch_length:
            parts.append(done.samples // self.epoch_length / self.epochs)
        return (1 - min(max(parts), 1.0)) ** DECAY_POWER

    def epoch_ended(self, done: TrainingProgress, pairs: int) -> bool:
        """Returns whether the last step, of so many pairs, was the last of an epoch."""
        if not self.epoch_length:
            return False
        return done.samples // self.epoch_length > (done.samples - pairs) // self.epoch_length

    def _parts_but_epochs(self, done: TrainingProgress) -> list[float]:
        parts = []
        if self.steps is not None:
            parts.append(done.step / self.steps)
        if self.minutes is not None:
            parts.append(done.elapsed / 60 / self.minutes)
        return parts
