import pytest
from csv_emitter import CsvEmitter

from blockdiff.testing.emitters import EmitterConformance


class TestCsv(EmitterConformance):
    @pytest.fixture
    def make(self):
        return CsvEmitter
