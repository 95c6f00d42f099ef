"""Single values of directory exports, brought to one form: addresses, ids, dates, multi-values, tokens for nothing."""
