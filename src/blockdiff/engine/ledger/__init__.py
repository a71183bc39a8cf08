"""The coverage ledger: which parts of a volume were proved equal, when, and which come next. docs/ledger.md."""
