"""Every error that a user can see.

    BanledgerError                 exit 1   an error that you can fix
    ├── QuestionError              exit 2   an invalid question or command line
    ├── SettingsError              exit 3   wrong settings
    ├── StoreError                 exit 4   no usable ledger: missing, not a ledger, or of another layout
    │   ├── LedgerMissing                   there is none yet
    │   ├── NotALedger                      the file or prefix holds something else
    │   ├── LedgerNewer                     made by a newer banledger
    │   ├── LedgerOlder                     made by an older banledger, to be brought up to date
    │   ├── StoreUnavailable       exit 5   the ledger is down, full or busy (`retryable`)
    │   │   ├── LedgerChanged               its files were moved, deleted or overwritten while open (`retryable`)
    │   │   ├── LabelTaken                  another recorder has our server label (`retryable`)
    │   │   └── RebuildRunning              `store rebuild` is running (`retryable`)
    │   └── LedgerLocked           exit 6   another recorder writes to the ledger
    ├── SpoolError                 exit 7   the spool can't be read (`retryable`)
    │   └── SpoolLocked                     another recorder reads it (`retryable`)
    ├── MissingFail2ban            exit 8   no fail2ban to run (demo, setup)
    ├── LedgerFaulty               exit 9   the ledger has faults
    ├── LookupFailed               exit 10  the whois look-up failed (`retryable`)
    ├── OutputError                exit 11  the output can't be written
    └── FaultsFound                exit 12  a check of `doctor` failed

Each error has a message, a hint that says what to do, whether trying again may help, and the exit code of the command
line (`EXIT_CODES`). Foreign errors are translated once, where they arise, with `from`; bugs are not wrapped.
"""


class BanledgerError(Exception):
    """An error that the user can fix. `str(error)` is the message, `hint` the next step (may be empty)."""

    retryable = False

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint

    @property
    def exit_code(self) -> int:
        """The exit code of the nearest class above that has one in `EXIT_CODES`."""
        codes = {error: code for code, error, _ in EXIT_CODES}
        return next(codes[kind] for kind in type(self).__mro__ if kind in codes)


class QuestionError(BanledgerError):
    """An invalid date, filter or dimension."""


class SettingsError(BanledgerError):
    """Wrong settings. The message names all of them."""


class StoreError(BanledgerError):
    """The ledger can't be used as it is."""


class LedgerMissing(StoreError):
    """There is no ledger at this place yet."""


class NotALedger(StoreError):
    """This place holds something that banledger did not make, or a damaged file."""


class LedgerNewer(StoreError):
    """The ledger's layout is newer than this banledger knows."""


class LedgerOlder(StoreError):
    """The ledger's layout is older than this banledger works with."""


class StoreUnavailable(StoreError):
    """The store is down, full or busy. Trying again later may help."""

    retryable = True


class LedgerChanged(StoreUnavailable):
    """Another program moved, deleted or overwrote the ledger's files while they were open. Open the ledger again."""


class LabelTaken(StoreUnavailable):
    """Another recorder has our server label."""


class RebuildRunning(StoreUnavailable):
    """A rebuild is running: no other process may write or rebuild until it ends."""


class LedgerLocked(StoreError):
    """Another recorder writes to this ledger."""


class SpoolError(BanledgerError):
    """The spool directory can't be read."""

    retryable = True


class SpoolLocked(SpoolError):
    """Another recorder reads the spool."""


class MissingFail2ban(BanledgerError):
    """No fail2ban was found to run, or to set up."""


class LedgerFaulty(BanledgerError):
    """The ledger has faults: entries differ from the hashes that they derive from."""


class LookupFailed(BanledgerError):
    """No registry answered with a network."""

    retryable = True


class OutputError(BanledgerError):
    """stdout can't be written to: the disk is full, or it is closed."""


class FaultsFound(BanledgerError):
    """A check of the doctor failed."""


EXIT_CODES: tuple[tuple[int, type[BanledgerError] | None, str], ...] = (
    (0, None, "success"),
    (1, BanledgerError, "an error that you can fix; `kv`: an error reply"),
    (2, QuestionError, "an invalid question or command line"),
    (3, SettingsError, "wrong settings"),
    (4, StoreError, "no usable ledger: missing, not a ledger, or of another layout"),
    (5, StoreUnavailable, "the ledger is down, full or busy"),
    (6, LedgerLocked, "another recorder writes to the ledger"),
    (7, SpoolError, "the spool can't be read"),
    (8, MissingFail2ban, "no fail2ban to run (demo, setup)"),
    (9, LedgerFaulty, "the ledger has faults"),
    (10, LookupFailed, "the whois look-up failed"),
    (11, OutputError, "the output can't be written"),
    (12, FaultsFound, "a check of `doctor` failed"),
    (130, None, "interrupted"),
    (141, None, "the reader of the output closed the pipe"),
)
"""How a command may end: code, the class of errors that ends it so (if any), meaning."""
