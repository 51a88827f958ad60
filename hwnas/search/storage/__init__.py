"""Where a study lies, and who may write it: a journal file, or a PostgreSQL database."""

from hwnas.search.storage.journal import DriverLease, LockedJournal, cut_at_damage

__all__ = ["DriverLease", "LockedJournal", "cut_at_damage"]
