CREATE TABLE console (
    deployment INTEGER PRIMARY KEY REFERENCES deployment (id),
    path       TEXT NOT NULL,
    file       TEXT,
    length     INTEGER NOT NULL,
    session    INTEGER,
    lines      TEXT
) STRICT;
-- What is asked for often finds its rows without those of all the deployments that are over.
DROP INDEX deployment_live;
CREATE INDEX deployment_live ON deployment (node) WHERE state <> 'released';
CREATE INDEX deployment_token ON deployment (token_sha256);
