"""One ordered event stream on disk: record, recover, read; and the ledger that balances it."""
