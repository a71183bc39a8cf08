"""An emitter: the longest extent and the total, from any stream of records."""


class Largest:
    def __init__(self):
        self.length = self.total = 0

    def record(self, number, record):
        for extent in record.extents:
            self.length = max(self.length, extent.length)
            self.total += extent.length

    def done(self, count):
        print(f"{self.total} bytes changed, at most {self.length} in one piece")
