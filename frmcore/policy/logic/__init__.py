"""What can be said of conditions without an event: can one be true, must it be, does it follow from another."""

from frmcore.policy.logic.cases import Logic

__all__ = ["Logic"]
