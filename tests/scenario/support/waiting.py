"""Waiting for things to become true, and times that are generous enough for a sanitized binary on a busy machine."""
import time

LONG = 30.0   # seconds until something that must happen counts as not happening
SHORT = 0.3   # seconds in which something that must not happen would have happened


def until(condition, what, seconds=LONG, pause=0.01):
    """Polls condition() until it is true and returns its value; fails with `what` when the time is over."""
    end = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"waited {seconds:.0f} s in vain for {what}")
        time.sleep(pause)
