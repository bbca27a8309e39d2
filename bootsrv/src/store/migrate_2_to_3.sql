-- Application images.
ALTER TABLE try ADD COLUMN application TEXT;
ALTER TABLE try ADD COLUMN application_image TEXT;
ALTER TABLE deployment ADD COLUMN application TEXT;
-- A node image may be a stack of layers: what a deployment boots has a list of them.
UPDATE deployment SET pin = json_set(pin, '$.root', json_array(json(json_extract(pin, '$.root'))));
CREATE TABLE credential (
    uid       INTEGER NOT NULL,
    reference TEXT NOT NULL,
    login     TEXT NOT NULL,
    created   INTEGER NOT NULL,
    PRIMARY KEY (uid, reference)
) STRICT, WITHOUT ROWID;
CREATE TABLE admission (
    uid    INTEGER NOT NULL,
    digest TEXT NOT NULL,
    since  INTEGER NOT NULL,
    PRIMARY KEY (uid, digest)
) STRICT, WITHOUT ROWID;
CREATE TABLE pull (
    uid       INTEGER NOT NULL,
    reference TEXT NOT NULL,
    created   INTEGER NOT NULL,
    PRIMARY KEY (uid, reference)
) STRICT, WITHOUT ROWID;
CREATE TABLE preparation (
    work   TEXT PRIMARY KEY,
    starts INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE upload (
    sha256 TEXT PRIMARY KEY,
    uid    INTEGER NOT NULL,
    bytes  INTEGER NOT NULL,
    used   INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
