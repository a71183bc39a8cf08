"""Receipts: what a verify read and found, in a form that can be signed, kept and checked later by somebody else.

A receipt is a DSSE envelope (https://github.com/secure-systems-lab/dsse, protocol 1.0.2) around an in-toto Statement v1
(https://github.com/in-toto/attestation), with a predicate of our own; docs/receipts.md is the contract.
"""
