-- What went wrong with a node, and which of its drains are ours.
ALTER TABLE node ADD COLUMN strikes INTEGER NOT NULL DEFAULT 0;
ALTER TABLE node ADD COLUMN last_failure_at INTEGER;
ALTER TABLE node ADD COLUMN own_drain TEXT;
ALTER TABLE node ADD COLUMN ending_drain TEXT;
-- As slurmctld shows them: without quotes.
UPDATE node SET own_drain = substr(replace(replace(coalesce('maintenance: ' || maintenance, last_failure),
                                                   '"', ' '), '''', ' '), 1, 300);
-- Nodes that stay on, and go from one deployment to the next without a boot.
ALTER TABLE deployment ADD COLUMN way TEXT;
ALTER TABLE deployment ADD COLUMN taken_from INTEGER;
ALTER TABLE deployment ADD COLUMN stays_on INTEGER NOT NULL DEFAULT 0;
ALTER TABLE deployment ADD COLUMN clears_memory INTEGER NOT NULL DEFAULT 0;
