"""ipykernel's application as a stage runs it: one whose threads end in an order in which none waits for another."""

from __future__ import annotations

from typing import Any

from ipykernel.kernelapp import IPKernelApp

_Application: Any = IPKernelApp


class KernelApp(_Application):  # type: ignore[misc]
    """A kernel that goes down at once when it is asked to."""

    def close(self) -> None:
        """Close the sockets, once the thread that answered the wish to end is through.

        ipykernel first ends the thread that sends what was said, and then waits for this one, which may still be
        waiting, for up to 10 s, until that has sent what the answer said: mostly one of a run's four kernels was killed
        for it.
        """
        control = self.control_thread
        if control is not None and control.is_alive():
            control.stop()
            control.join()
        super().close()


def serve() -> None:
    """Be a kernel, to its end."""
    KernelApp.launch_instance()
