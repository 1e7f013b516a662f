"""Waiting for things to become true, and times that are generous enough for a sanitized binary on a busy machine."""
import select
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


def ready(sock, for_writing, seconds):
    """(readable, writable), once it is either; select() would refuse descriptors past 1,023."""
    poll = select.poll()
    poll.register(sock, select.POLLIN | (select.POLLOUT if for_writing else 0))
    events = sum(event for _, event in poll.poll(seconds * 1000))
    return bool(events & ~select.POLLOUT), bool(events & select.POLLOUT)
