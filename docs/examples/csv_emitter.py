"""An emitter that writes: one line of ``offset,length`` for each extent."""

from blockdiff.emitters.output import Output


class CsvEmitter:
    def __init__(self, out):
        self.out = Output(out)  # writes all or raises OutputError, also to a pipe or a full disk

    def record(self, number, record):
        self.out.write("".join(f"{extent.offset},{extent.length}\n" for extent in record.extents).encode())

    def done(self, count):
        self.out.flush()
