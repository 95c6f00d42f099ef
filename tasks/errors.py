"""Every error this project raises, as one tree named by who must act.

AlertsError
├── OperatorError          the operator: a setting, a name, a key
│   ├── SettingsError          a setting or an override file is wrong
│   ├── UnknownConnector       no connector is saved under that name
│   ├── ConnectorRefused       a connector cannot be saved or changed as requested
│   ├── TriageRefused          a decision is invalid, or its alert or group does not exist
│   ├── EntryRefused           an entry of the allow-list cannot be added or removed as requested
│   ├── NotDeployed            the Prefect server in use does not know the project's deployments yet
│   ├── ExportRefused          a directory export cannot be read: which file, where in it, what to do
│   ├── CredentialsRefused     the service does not accept the keys
│   │   └── KeyExpired             … because they have expired
│   ├── PermissionMissing      the keys work, but may not read these logs
│   ├── WrongRegion            the account lives on another host
│   ├── Unreachable            name, route, proxy or certificate: no connection to the host
│   └── ClockWrong             this machine's clock or the service's is wrong
├── ServiceError           the vendor: wait, or report it
│   ├── ServiceUnavailable     errors or throttling for longer than the retries last
│   ├── AnswerNotUnderstood    not JSON, or another structure: the slice fails
│   ├── PagingBroken           a repeated token or an endless listing
│   ├── PageTokenRefused       a token was refused in the middle of a slice
│   └── DatesIgnored           all records, or all of a page, are outside the requested time
├── StoreError             the machine: disk, lock, file version
│   ├── StoreBusy              another process has been writing for too long
│   └── StoreTooNew            the file was written by a later version
└── Stopped                a person or the scheduler stopped the run

The text of an error states the fact and ends with one instruction. It never contains a secret, and mail content only
through `tasks.sanitize.plain`.
"""


class AlertsError(Exception):
    """Base of all errors of this project."""


class OperatorError(AlertsError):
    """The operator has to change something; trying again does not help."""


class SettingsError(OperatorError):
    """A setting or an override file is wrong."""


class UnknownConnector(OperatorError):
    """No connector is saved under that name in the Prefect API in use."""


class ConnectorRefused(OperatorError):
    """A connector cannot be saved, renamed or rotated as requested."""


class TriageRefused(OperatorError):
    """A decision is invalid, or its alert or group does not exist."""


class EntryRefused(OperatorError):
    """An entry of the allow-list cannot be added or removed as requested."""


class NotDeployed(OperatorError):
    """The Prefect server in use does not know this project's deployments, or there is none that runs schedules."""


class ExportRefused(OperatorError):
    """A directory export cannot be read; nothing of it is used."""


class CredentialsRefused(OperatorError):
    """The service does not accept the keys."""


class KeyExpired(CredentialsRefused):
    """The keys were good once and have expired."""


class PermissionMissing(OperatorError):
    """The keys work but may not read attachment-protection logs."""


class WrongRegion(OperatorError):
    """The account lives on another regional host."""


class Unreachable(OperatorError):
    """No connection to the host: name, route, proxy or certificate."""


class ClockWrong(OperatorError):
    """This machine's clock or the service's is or was wrong."""


class ServiceError(AlertsError):
    """The vendor's service failed; a later run may succeed."""


class ServiceUnavailable(ServiceError):
    """Errors or throttling lasted longer than the retries."""


class AnswerNotUnderstood(ServiceError):
    """An answer is not JSON or has another structure; the slice fails, nothing may be skipped."""


class PagingBroken(ServiceError):
    """A page token came twice on a page with records, or the page cap was reached."""


class PageTokenRefused(ServiceError):
    """The service refused a page token in the middle of a slice; the slice is started again once."""


class DatesIgnored(ServiceError):
    """All records of a slice, or all of one of its pages, are outside the requested time."""


class StoreError(AlertsError):
    """The database files cannot be used."""


class StoreBusy(StoreError):
    """The writer's lock could not be acquired in time."""


class StoreTooNew(StoreError):
    """The store was written by a later version of this program."""


class Stopped(AlertsError):
    """The run was stopped; complete slices are kept, the next run fetches the others."""
