CREATE TABLE node (
    name         TEXT PRIMARY KEY,
    definition   TEXT NOT NULL,             -- protocol::api::NodeDefinition as JSON, with its password
    maintenance  TEXT,                      -- why an admin keeps it out of use
    wanted_since INTEGER,                   -- ResumeProgram wants it, no deployment yet (unix ns)
    kept_drain   TEXT,                      -- drained with this reason, which Slurm forgets at power-down
    last_failure TEXT,
    last_failure_at INTEGER,                -- unix ns
    strikes      INTEGER NOT NULL DEFAULT 0, -- failures by its own fault since it was last ready
    own_drain    TEXT,                      -- the reason of the last drain, or DOWN, that we made
    ending_drain TEXT                       -- of ours, taken back by an admin: slurmctld is to hear it
) STRICT;

-- One try of a job: a requeued job boots again, as a new try.
CREATE TABLE try (
    id              INTEGER PRIMARY KEY,
    job             INTEGER NOT NULL,
    reference       TEXT NOT NULL,          -- as Slurm's commands name it: 42, 42_7, 42+1
    restart_count   INTEGER NOT NULL,
    user            TEXT NOT NULL,
    uid             INTEGER NOT NULL,
    account         TEXT,
    partition       TEXT NOT NULL,
    kernel          TEXT NOT NULL,
    image           TEXT NOT NULL,
    power_off_after INTEGER NOT NULL,
    created         INTEGER NOT NULL,       -- unix ns
    ended           INTEGER,                -- unix ns; the epilog came
    application       TEXT,                 -- application::Request as JSON; null: the job has none
    application_image TEXT                  -- application::Prepared as JSON, once it is
) STRICT;
CREATE INDEX try_job ON try (job);
CREATE INDEX try_reference ON try (reference);

CREATE TABLE deployment (
    id             INTEGER PRIMARY KEY,
    try            INTEGER REFERENCES try (id),
    job            INTEGER,
    node           TEXT NOT NULL,
    kernel         TEXT NOT NULL,
    image          TEXT NOT NULL,
    pin            TEXT NOT NULL,           -- pin::Pin as JSON: what the two names meant
    state          TEXT NOT NULL,
    since          INTEGER NOT NULL,        -- unix ns
    blame          TEXT,
    reason         TEXT,
    token          TEXT,                    -- until it was fetched
    token_sha256   TEXT NOT NULL,
    scripts_served INTEGER NOT NULL DEFAULT 0,
    secrets_at     INTEGER,                 -- first handed out, unix ns
    secrets_to     TEXT,                    -- the boot id they went to
    boot_id        TEXT,
    applied        TEXT NOT NULL DEFAULT '[]',
    energy         TEXT,                    -- protocol::energy::NodeEnergy once released
    application    TEXT,                    -- awaited, ready; null: the job has none
    way            TEXT,                    -- adopt, kexec; null: from off
    taken_from     INTEGER,                 -- the deployment whose running node it takes over
    stays_on       INTEGER NOT NULL DEFAULT 0, -- the node stays on after the job
    clears_memory  INTEGER NOT NULL DEFAULT 0  -- its kernel clears the memory when it starts
) STRICT;
CREATE INDEX deployment_live ON deployment (node) WHERE state <> 'released';
CREATE INDEX deployment_token ON deployment (token_sha256);
CREATE INDEX deployment_try ON deployment (try);
CREATE INDEX deployment_node ON deployment (node);

CREATE TABLE mark (
    deployment INTEGER NOT NULL REFERENCES deployment (id),
    mark       TEXT NOT NULL,
    at         INTEGER NOT NULL,            -- unix ns
    PRIMARY KEY (deployment, mark)
) STRICT, WITHOUT ROWID;

-- A boot's part of its node's console, and its last lines once the boot has failed.
CREATE TABLE console (
    deployment INTEGER PRIMARY KEY REFERENCES deployment (id),
    path       TEXT NOT NULL,               -- the file
    file       TEXT,                        -- its inode then; null: there was none
    length     INTEGER NOT NULL,            -- its bytes when the boot began: the boot's come behind
    session    INTEGER,                     -- ours that captures it over LAN, as the controller names it
    lines      TEXT                         -- JSON list, oldest first
) STRICT;

CREATE TABLE sample (
    node       TEXT NOT NULL,
    at         INTEGER NOT NULL,            -- unix ns
    milliwatts INTEGER NOT NULL,
    meter      TEXT NOT NULL,               -- power::driver::Reading's, e.g. ipmi-dcmi, ipmi-sdr, redfish
    PRIMARY KEY (node, at)
) STRICT, WITHOUT ROWID;

-- A user's registry credential, from the check of a job until its image is pulled.
CREATE TABLE credential (
    uid       INTEGER NOT NULL,
    reference TEXT NOT NULL,                -- of the image, pinned if the check could
    login     TEXT NOT NULL,                -- protocol::api::RegistryCredential as JSON
    created   INTEGER NOT NULL,             -- unix ns
    PRIMARY KEY (uid, reference)
) STRICT, WITHOUT ROWID;

-- Users to whom a registry has shown an image, or who have sent a file's bytes: content that is here
-- already is theirs too.
CREATE TABLE admission (
    uid    INTEGER NOT NULL,
    digest TEXT NOT NULL,                   -- of content and place: application::admission
    since  INTEGER NOT NULL,                -- unix ns, of the last time
    PRIMARY KEY (uid, digest)
) STRICT, WITHOUT ROWID;

-- An image to prepare although no job waits for it: `bmc image pull`.
CREATE TABLE pull (
    uid       INTEGER NOT NULL,
    reference TEXT NOT NULL,                -- pinned
    created   INTEGER NOT NULL,             -- unix ns
    PRIMARY KEY (uid, reference)
) STRICT, WITHOUT ROWID;

-- Preparations that have begun and not ended: what they are of may be what ends this program.
CREATE TABLE preparation (
    work   TEXT PRIMARY KEY,
    starts INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Bytes that users sent for references to files.
CREATE TABLE upload (
    sha256 TEXT PRIMARY KEY,
    uid    INTEGER NOT NULL,                -- whose they count as
    bytes  INTEGER NOT NULL,
    used   INTEGER NOT NULL                 -- unix ns
) STRICT, WITHOUT ROWID;
