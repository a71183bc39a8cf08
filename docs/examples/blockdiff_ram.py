"""A backend: ``ram:SIZE`` is that many bytes of memory, for reading only."""

from blockdiff.errors import DeviceError, InvalidInput, ShortRead


class RamDevice:
    block_size = 512

    def __init__(self, url, content):
        self.url, self.size, self.content = url, len(content), content

    def _opened(self, action):
        if self.content is None:
            raise DeviceError("it is closed", url=self.url, action=action)
        return self.content

    def pread_into(self, buffer, offset):
        view, content = memoryview(buffer).cast("B"), self._opened("read")
        if offset + len(view) > self.size:
            raise ShortRead("past the end", url=self.url, action="read", offset=offset, length=len(view))
        view[:] = content[offset : offset + len(view)]

    def extents(self, start=0, length=None):
        from blockdiff import Extents  # memory cannot tell: all is data

        self._opened("map")
        end = self.size if length is None else start + length
        if end > start:
            yield Extents([(start, end - start)])

    def clone(self):
        return RamDevice(self.url, self._opened("open"))

    def fileno(self):
        return None

    def close(self):
        self.content = None


def open_device(locator, *, writable=False, create_size=None, force=False):
    if writable:
        raise InvalidInput(f"{locator.text} can only be read")
    if not locator.rest.isdecimal():
        raise InvalidInput(f"{locator.text!r}: write ram:SIZE, in bytes")
    return RamDevice(locator.text, bytes(int(locator.rest)))
