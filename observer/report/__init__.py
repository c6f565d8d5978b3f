"""What people and programs read: the terminal's story, the drawn address space, the ledger, exports."""
