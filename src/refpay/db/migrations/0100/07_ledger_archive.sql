-- Partitions that are in cold storage. The owner writes the row in the transaction that detaches the partition.
CREATE TABLE ledger.archive (
    name        text PRIMARY KEY CHECK (name ~ '^entry_[0-9]{4}_[0-9]{2}$'),
    first_id    uuid NOT NULL,
    end_id      uuid NOT NULL,
    entries     bigint NOT NULL CHECK (entries >= 0),
    -- Of the file's whole content before compression.
    digest      bytea NOT NULL CHECK (octet_length(digest) = 32),
    archived_at timestamptz NOT NULL,
    restored_at timestamptz
);

-- Whether an entry is in cold storage.
CREATE FUNCTION ledger.is_archived(entry_id uuid) RETURNS boolean
    LANGUAGE sql STABLE PARALLEL SAFE SET search_path = '' AS $$
    SELECT EXISTS (SELECT FROM ledger.archive WHERE entry_id >= archive.first_id AND entry_id < archive.end_id
                   AND archive.restored_at IS NULL)
$$;
