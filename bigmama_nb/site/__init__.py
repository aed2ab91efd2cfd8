"""The archive as people see it: an index beside the records, and pages that open from a file share."""
