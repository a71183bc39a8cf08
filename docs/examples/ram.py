"""A backend: ``ram:SIZE`` is that many bytes of memory. Shows the whole interface of a device."""

from blockdiff.errors import InvalidInput, ShortRead


class RamDevice:
    block_size = 512

    def __init__(self, url, content):
        self.url, self.size, self.content = url, len(content), content

    def pread_into(self, buffer, offset):
        view = memoryview(buffer).cast("B")
        if offset + len(view) > self.size:
            raise ShortRead("past the end", url=self.url, action="read", offset=offset, length=len(view))
        view[:] = self.content[offset : offset + len(view)]

    def extents(self, start=0, length=None):
        from blockdiff import Extents  # memory cannot tell: all is data

        end = self.size if length is None else start + length
        if end > start:
            yield Extents([(start, end - start)])

    def clone(self):
        return self  # no state that workers could disturb

    def fileno(self):
        return None

    def close(self):
        pass


def open_device(locator, *, writable=False, create_size=None, force=False):
    if not locator.rest.isdecimal():
        raise InvalidInput(f"{locator.text!r}: write ram:SIZE, in bytes")
    return RamDevice(locator.text, bytearray(int(locator.rest)))
