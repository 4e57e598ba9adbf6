"""How a step ended that KFP's SubprocessRunner only says has failed."""

import signal

from components.progress import log

# A shell adds this to the number of the signal that ended its command.
_BY_SIGNAL = 128


def tell_signals() -> None:
    """Makes the runner name the signal that ended a step: a process that is killed cannot say so itself."""
    from kfp.local import subprocess_task_handler

    run = subprocess_task_handler.run_local_subprocess

    def run_and_tell(*arguments: object, **options: object) -> int:
        status: int = run(*arguments, **options)
        if said := _signal(status):
            log(said)
        return status

    subprocess_task_handler.run_local_subprocess = run_and_tell


def _signal(status: int) -> str:
    """A sentence about the signal that an exit status stands for, "" if it stands for none."""
    number = -status if status < 0 else status - _BY_SIGNAL
    if number not in set(signal.Signals):
        return ""
    if number == signal.SIGKILL:
        return "the step was killed (SIGKILL), most often because the machine ran out of memory"
    name = signal.Signals(number).name
    return f"the step was ended by {name}; the same command again goes on with it"
