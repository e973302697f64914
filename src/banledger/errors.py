"""Every error a user can meet.

    BanledgerError                 exit 1   something a user can mend went wrong
    ├── QuestionError              exit 2   a date, filter or dimension that makes no sense
    ├── SettingsError              exit 3   wrong settings, all of them in one message
    ├── StoreError                 exit 4   the ledger can't be used
    │   ├── LedgerMissing                   there is none yet
    │   ├── NotALedger                      the file or prefix holds something else
    │   ├── LedgerNewer                     made by a newer banledger
    │   ├── LedgerOlder                     made by an older banledger, to be brought up to date
    │   ├── StoreUnavailable       exit 5   down, full or busy: worth another try (`retryable`)
    │   ├── LedgerChanged          exit 5   its files were moved, deleted or overwritten while open (`retryable`)
    │   ├── LabelTaken             exit 5   another recorder's bans bear our server label (`retryable`)
    │   ├── RebuildRunning         exit 5   `store rebuild` is at work (`retryable`)
    │   └── LedgerLocked           exit 6   another recorder writes to it
    ├── SpoolError                 exit 7   the spool directory can't be read (`retryable`)
    │   └── SpoolLocked                     another recorder reads it (`retryable`)
    ├── MissingFail2ban            exit 8   no fail2ban-server to run (demo)
    ├── LedgerFaulty               exit 9   the ledger has faults: what was derived is not what the bans say
    ├── LookupFailed               exit 10  no registry told whose a network is (`retryable`)
    └── OutputError                exit 11  the output can't be written: the disk is full, or stdout is closed

Each bears a message for people, a hint that says what to do, whether trying again may help, and the exit code
of the command line. Foreign errors are translated once, where they arise, with `from`; bugs are not wrapped.
"""


class BanledgerError(Exception):
    """Something a user can mend. `str(error)` is the message, `hint` the next step (may be empty)."""

    exit_code = 1
    retryable = False

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


class QuestionError(BanledgerError):
    """A date, filter or dimension that makes no sense."""

    exit_code = 2


class SettingsError(BanledgerError):
    """Wrong settings. The message names every one of them."""

    exit_code = 3


class StoreError(BanledgerError):
    """The ledger can't be used as it is."""

    exit_code = 4


class LedgerMissing(StoreError):
    """There is no ledger at that place yet."""


class NotALedger(StoreError):
    """That place holds something that banledger did not make, or a damaged file."""


class LedgerNewer(StoreError):
    """The ledger's layout is newer than this banledger knows."""


class LedgerOlder(StoreError):
    """The ledger's layout is older than this banledger works with."""


class StoreUnavailable(StoreError):
    """The store is down, full or busy. Trying again later may help."""

    exit_code = 5
    retryable = True


class LedgerChanged(StoreUnavailable):
    """Another program moved, deleted or overwrote the ledger's files while they were open. Open it anew."""


class LabelTaken(StoreUnavailable):
    """Another recorder's bans bear our server label."""


class RebuildRunning(StoreUnavailable):
    """A rebuild is at work: nobody else may write, or rebuild, meanwhile."""


class LedgerLocked(StoreError):
    """Another recorder writes to this ledger."""

    exit_code = 6


class SpoolError(BanledgerError):
    """The spool directory can't be read."""

    exit_code = 7
    retryable = True


class SpoolLocked(SpoolError):
    """Another recorder reads the spool."""


class MissingFail2ban(BanledgerError):
    """No fail2ban-server was found to run."""

    exit_code = 8


class LedgerFaulty(BanledgerError):
    """The ledger has faults: something derived from its hashes is not what they say."""

    exit_code = 9


class LookupFailed(BanledgerError):
    """No registry told whose a network is."""

    exit_code = 10
    retryable = True


class OutputError(BanledgerError):
    """stdout can't be written: the disk is full, or it is closed."""

    exit_code = 11
