"""The audit trail: a record of every state change, written in the transaction of the change."""
