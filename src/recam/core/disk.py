"""Errors of the operating system as sentences: the file, the reason, what to do."""

import errno
import os

LONGEST = 100  # characters of a file's name that a message shows
FOLDER_NEEDED = "a file stands where a folder is needed; move it"
NOT_ALLOWED = "it may not be written or read; change its permissions"
REASONS = {
    errno.ENOSPC: "no space is left on its disk; free some",
    errno.EDQUOT: "your quota of its disk is used up; free some",
    errno.EACCES: NOT_ALLOWED,
    errno.EPERM: NOT_ALLOWED,
    errno.EROFS: "its disk is read-only; choose another place",
    errno.ENOTDIR: FOLDER_NEEDED,
    errno.EEXIST: FOLDER_NEEDED,
    errno.EISDIR: "a folder stands where a file is needed; move it",
    errno.EFBIG: "a file may not grow as large as this; raise the limit",
    errno.ENOENT: "not found; put it there, or run the step that makes it",
    errno.ENAMETOOLONG: "its name is too long for the disk; shorten it",
    errno.ELOOP: "its links lead in a circle; remove one of them",
    errno.EIO: "its disk reports an input/output error; check the disk",
    errno.ESTALE: "its network disk is gone; mount it again",
    errno.EBUSY: "another program uses it; close that program",
    errno.ENOTEMPTY: "another program writes into this folder; stop that program",
    errno.EMFILE: "too many files are open; raise the limit of `ulimit -n`",
    errno.ENFILE: "too many files are open on this machine; close some programs",
    errno.EAGAIN: "no more processes are allowed; raise the limit of `ulimit -u`",
    errno.ENOMEM: "memory ran out; close other programs, or raise the limit of `ulimit -v`",
    errno.EPIPE: "the program that reads the output has ended; leave it running",
}


def disk_sentence(error: OSError) -> str:
    """One sentence about an error that has an ``errno``; a long file name is cut."""
    name = str(error.filename or "a file")
    shown = name if len(name) <= LONGEST else f"{name[:LONGEST]}..."
    number = error.errno or 0
    return f"{shown}: {REASONS.get(number) or f'{os.strerror(number)}; remove the cause'}"
