-- Islet: the whole database of a node. Read this file first.
--
-- Units come last in names. Times are integer milliseconds since 1970 in UTC (`_at`), days are
-- ISO dates in the clinic's time (`day`), glucose is mg/dL. mmol/L and local time exist only at
-- the edges of the program.
--
-- Row ids are `replica << 32 | counter`: unique in the network, exact in a JavaScript number,
-- ordered within a replica, and plain `INTEGER PRIMARY KEY`. The founding replica is number 0, so
-- its ids are 1, 2, 3 and ids imported from the legacy system stay what they were.
--
-- Marks: [replicated] rows are a cache of the change log and can be rebuilt from it;
--        [derived]    rows can be rebuilt from replicated rows;
--        [local]      rows belong to this node alone.
--
-- Only the writer thread (src/store/writer.rs) changes anything here. Every transaction that
-- changes a [replicated] table appends to `change`, and every transaction appends to
-- `audit_entry`.

-- [local] One row: which replica this database is, and where its clock and logs stand.
CREATE TABLE replica (
    only_row        INTEGER PRIMARY KEY CHECK (only_row = 1),
    number          INTEGER NOT NULL CHECK (number BETWEEN 0 AND 2097151),
    replica_id      BLOB    NOT NULL CHECK (length(replica_id) = 16),
    network         BLOB    NOT NULL CHECK (length(network) = 16),
    node_id         TEXT    NOT NULL,
    clinic          TEXT    NOT NULL,
    created_at      INTEGER NOT NULL,
    -- The hybrid logical clock: milliseconds << 16 | counter. Never goes back.
    hlc             INTEGER NOT NULL,
    -- How often it was started; see the file replica.lease (src/store/lease.rs).
    starts          INTEGER NOT NULL DEFAULT 0,
    -- The newest change of this replica, and the chain hash after it (sync/src/chain.rs).
    change_seq      INTEGER NOT NULL,
    change_hash     BLOB    NOT NULL CHECK (length(change_hash) = 32),
    -- The newest audit entry. An audit log whose end was cut off no longer matches it.
    audit_seq       INTEGER NOT NULL,
    audit_hash      BLOB    NOT NULL CHECK (length(audit_hash) = 32)
) STRICT;

-- [replicated] Settings that hold for the whole clinic (queue size of the next day, and so on).
CREATE TABLE setting (
    name            TEXT PRIMARY KEY,
    value           TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- [replicated] Patients: people with an account for the phone app.
CREATE TABLE patient (
    id                      INTEGER PRIMARY KEY,
    dni                     TEXT    NOT NULL,
    name                    TEXT    NOT NULL,
    surname                 TEXT    NOT NULL,
    email                   TEXT    NOT NULL COLLATE NOCASE,
    tidepool                TEXT,
    hospital_account        TEXT    NOT NULL,
    blocked                 INTEGER NOT NULL DEFAULT 0 CHECK (blocked IN (0, 1)),
    password_hash           TEXT    NOT NULL,
    password_reset_required INTEGER NOT NULL DEFAULT 0 CHECK (password_reset_required IN (0, 1)),
    -- Counted by another system before this account came here; the derived counters start there.
    former_times_measured   INTEGER NOT NULL DEFAULT 0 CHECK (former_times_measured >= 0),
    former_max_streak       INTEGER NOT NULL DEFAULT 0 CHECK (former_max_streak >= 0),
    created_at              INTEGER NOT NULL,
    updated_at              INTEGER NOT NULL,
    -- Sessions and codes that were begun at a lower one have ended. Raised by a block and a new password.
    access_epoch            INTEGER NOT NULL
) STRICT;

-- Not UNIQUE: two nodes that were cut off from each other may each have registered the same person.
-- A node refuses what it knows to be taken (src/store/patients.rs), and such twins are linked below.
CREATE INDEX patient_by_dni ON patient (dni);
CREATE INDEX patient_by_email ON patient (email);
CREATE INDEX patient_by_hospital_account ON patient (hospital_account);

-- [derived] Patients who were registered with one DNI on two nodes are one: rows that name the
-- alias name `patient_id` instead, the smallest id among them.
CREATE TABLE patient_link (
    alias           INTEGER PRIMARY KEY,
    patient_id      INTEGER NOT NULL
) STRICT;

CREATE INDEX patient_link_by_patient ON patient_link (patient_id);

-- [replicated] Doctors, the front desk and administrators.
CREATE TABLE staff (
    id                      INTEGER PRIMARY KEY,
    username                TEXT    NOT NULL COLLATE NOCASE,
    email                   TEXT    NOT NULL COLLATE NOCASE,
    blocked                 INTEGER NOT NULL DEFAULT 0 CHECK (blocked IN (0, 1)),
    password_hash           TEXT    NOT NULL,
    password_reset_required INTEGER NOT NULL DEFAULT 0 CHECK (password_reset_required IN (0, 1)),
    created_at              INTEGER NOT NULL,
    updated_at              INTEGER NOT NULL,
    access_epoch            INTEGER NOT NULL
) STRICT;

CREATE INDEX staff_by_username ON staff (username);
CREATE INDEX staff_by_email ON staff (email);

-- [replicated] Roles are a set; a role taken away wins over the same role given elsewhere.
CREATE TABLE staff_role (
    staff_id        INTEGER NOT NULL REFERENCES staff (id),
    role            TEXT    NOT NULL CHECK (role IN ('staff', 'admin')),
    PRIMARY KEY (staff_id, role)
) STRICT, WITHOUT ROWID;

-- [replicated] One glucose measurement. Never deleted: an error is marked as one.
CREATE TABLE reading (
    id              INTEGER PRIMARY KEY,
    patient_id      INTEGER NOT NULL REFERENCES patient (id),
    glucose_mg_dl   REAL    NOT NULL CHECK (glucose_mg_dl > 0 AND glucose_mg_dl < 10000),
    -- 1 DESAYUNO 2 ALMUERZO 3 MERIENDA 4 CENA 5 EJERCICIO 6 OTRAS_COMIDAS 7 OTRO
    reading_type    INTEGER NOT NULL CHECK (reading_type BETWEEN 1 AND 7),
    -- 1 phone app, 2 back office, 3 continuous sensor, 4 legacy import
    source          INTEGER NOT NULL CHECK (source BETWEEN 1 AND 4),
    -- 1 final, 2 entered in error (FHIR Observation.status)
    status          INTEGER NOT NULL DEFAULT 1 CHECK (status IN (1, 2)),
    measured_at     INTEGER NOT NULL,
    recorded_at     INTEGER NOT NULL,
    notes           TEXT,
    -- 1 when its author knew one like it and meant another: staff type in again what was marked as an
    -- error. Such a reading is nobody's twin.
    again           INTEGER NOT NULL DEFAULT 0 CHECK (again IN (0, 1))
) STRICT;

-- Serves "newest page of one patient", "last 15 days" and the search for the same reading.
CREATE INDEX reading_by_patient ON reading (patient_id, measured_at);

-- [derived] A reading that came in through two nodes is one: this id means that one, the smallest.
CREATE TABLE reading_alias (
    alias           INTEGER PRIMARY KEY,
    reading_id      INTEGER NOT NULL
) STRICT;

CREATE INDEX reading_alias_by_reading ON reading_alias (reading_id);

-- [derived] What a reading was made with, once it was corrected: by this its twins are found.
CREATE TABLE reading_origin (
    reading_id      INTEGER PRIMARY KEY,
    glucose_mg_dl   REAL    NOT NULL,
    reading_type    INTEGER NOT NULL,
    notes           TEXT
) STRICT;

-- [derived] Readings of one patient recorded on one day: streaks and counters come from it.
CREATE TABLE patient_day (
    patient_id      INTEGER NOT NULL REFERENCES patient (id),
    -- Days since 1970-01-01 in the clinic's time.
    day_number      INTEGER NOT NULL,
    readings        INTEGER NOT NULL,
    -- The day first: what comes in together lies together.
    PRIMARY KEY (day_number, patient_id)
) STRICT, WITHOUT ROWID;

-- Days that count (src/domain/streak.rs), for counting a streak again.
CREATE INDEX patient_day_full ON patient_day (patient_id, day_number) WHERE readings >= 4;

-- [derived] Counters that the app shows, kept so that a profile costs one row.
CREATE TABLE patient_counter (
    patient_id      INTEGER PRIMARY KEY REFERENCES patient (id),
    times_measured  INTEGER NOT NULL,
    streak          INTEGER NOT NULL,
    max_streak      INTEGER NOT NULL,
    streak_last_day TEXT
) STRICT;

-- [replicated] One opening of the appointment queue. That with the newest `opened_at` is the current
-- queue day. `size` is what staff wish; `queue_right` says which places there are.
CREATE TABLE queue_day (
    id              INTEGER PRIMARY KEY,
    size            INTEGER NOT NULL CHECK (size BETWEEN 0 AND 10000),
    opened_at       INTEGER NOT NULL,
    closed_at       INTEGER
) STRICT;

-- [replicated] A place in the queue. The id is the placement; it never repeats.
CREATE TABLE queue_entry (
    id              INTEGER PRIMARY KEY,
    queue_day_id    INTEGER NOT NULL REFERENCES queue_day (id),
    patient_id      INTEGER NOT NULL REFERENCES patient (id),
    state           TEXT    NOT NULL CHECK (state IN
                    ('PENDING', 'ACCEPTED', 'DENIED', 'CREATED', 'CANCELLED', 'NO_SHOW', 'CLEARED')),
    -- Higher goes first among the waiting; 0 unless staff gave a reason.
    priority        INTEGER NOT NULL DEFAULT 0 CHECK (priority BETWEEN 0 AND 9),
    priority_reason TEXT,
    created_at      INTEGER NOT NULL,
    updated_at      INTEGER NOT NULL
) STRICT;

CREATE INDEX queue_day_by_opening ON queue_day (opened_at, id);

-- One live entry per patient, over all days: waiting patients move on with the queue. Not UNIQUE: a
-- patient may have asked on two nodes that were cut off from each other; the earlier entry counts.
CREATE INDEX queue_entry_live ON queue_entry (patient_id)
    WHERE state IN ('PENDING', 'ACCEPTED', 'DENIED', 'CREATED');
CREATE INDEX queue_entry_by_day ON queue_entry (queue_day_id, state);

-- [replicated] Rights to places of a queue day (sync/src/escrow.rs). The author of a row is the
-- replica in its id.
CREATE TABLE queue_right (
    id              INTEGER PRIMARY KEY,
    queue_day_id    INTEGER NOT NULL REFERENCES queue_day (id),
    -- 1 minted, 2 handed over to `to_replica`, 3 burnt, 4 used for `queue_entry_id`
    kind            INTEGER NOT NULL CHECK (kind BETWEEN 1 AND 4),
    count           INTEGER NOT NULL CHECK (count > 0),
    to_replica      INTEGER,
    queue_entry_id  INTEGER REFERENCES queue_entry (id),
    -- 1 once another right took the place of a used one
    replaced        INTEGER NOT NULL DEFAULT 0 CHECK (replaced IN (0, 1)),
    CHECK ((kind = 2) = (to_replica IS NOT NULL)),
    CHECK ((kind = 4) = (queue_entry_id IS NOT NULL))
) STRICT;

CREATE INDEX queue_right_by_day ON queue_right (queue_day_id, kind);
CREATE INDEX queue_right_by_entry ON queue_right (queue_entry_id) WHERE queue_entry_id IS NOT NULL;

-- [replicated] The clinical form that an accepted patient sends.
CREATE TABLE appointment (
    id                INTEGER PRIMARY KEY,
    patient_id        INTEGER NOT NULL REFERENCES patient (id),
    queue_entry_id    INTEGER REFERENCES queue_entry (id),
    glucose_objective REAL    NOT NULL,
    insulin_type      TEXT    NOT NULL,
    dose              REAL    NOT NULL,
    fast_insulin      TEXT    NOT NULL,
    fixed_dose        REAL    NOT NULL,
    ratio             REAL    NOT NULL,
    sensitivity       REAL    NOT NULL,
    pump_type         TEXT    NOT NULL,
    control_data      TEXT    NOT NULL,
    motives           TEXT    NOT NULL CHECK (json_valid(motives)),
    another_treatment TEXT,
    other_motive      TEXT,
    created_at        INTEGER NOT NULL,
    -- The resolution that holds. Two that were written at the same time are a conflict.
    resolution_id     INTEGER
) STRICT;

CREATE INDEX appointment_by_patient ON appointment (patient_id);
CREATE INDEX appointment_by_queue_entry ON appointment (queue_entry_id) WHERE queue_entry_id IS NOT NULL;

-- [replicated] What the doctor decided. A later one replaces the former, which stays readable.
CREATE TABLE resolution (
    id                          INTEGER PRIMARY KEY,
    appointment_id              INTEGER NOT NULL REFERENCES appointment (id),
    change_basal_type           TEXT,
    change_basal_dose           REAL,
    change_basal_time           TEXT,
    change_fast_type            TEXT,
    change_ratio                REAL,
    change_sensitivity          REAL,
    emergency_care              INTEGER NOT NULL CHECK (emergency_care IN (0, 1)),
    needed_physical_appointment INTEGER NOT NULL CHECK (needed_physical_appointment IN (0, 1)),
    glucose_scale               TEXT CHECK (glucose_scale IS NULL OR json_valid(glucose_scale)),
    staff_id                    INTEGER REFERENCES staff (id),
    created_at                  INTEGER NOT NULL
) STRICT;

-- [replicated] One log-in on one device: a family of refresh tokens. Rows that expired long ago are
-- forgotten without a change (limits::SESSION_KEPT), here and in the two tables below: what is
-- rebuilt from the log has expired all the same.
CREATE TABLE session (
    id              INTEGER PRIMARY KEY,
    -- Random: what access tokens and the audit log call it. Not a secret.
    jti             TEXT    NOT NULL,
    patient_id      INTEGER REFERENCES patient (id),
    staff_id        INTEGER REFERENCES staff (id),
    -- That of its account when it began, or when its bearer chose another password.
    access_epoch    INTEGER NOT NULL,
    created_at      INTEGER NOT NULL,
    -- When the newest of its tokens expires.
    expires_at      INTEGER NOT NULL,
    revoked_at      INTEGER,
    CHECK ((patient_id IS NULL) <> (staff_id IS NULL))
) STRICT;

-- Not UNIQUE, like the other digests and names that peers bring: what one of them makes up must not
-- depend on the order of arrival.
CREATE INDEX session_by_jti ON session (jti);
CREATE INDEX session_by_patient ON session (patient_id) WHERE patient_id IS NOT NULL;
CREATE INDEX session_by_expiry ON session (expires_at);

-- [replicated] Every refresh token that was handed out: the first half of its digest. Old ones stay
-- until they expire: an old token that turns up shows that two parties hold the family.
CREATE TABLE refresh_token (
    id              INTEGER PRIMARY KEY,
    digest          BLOB    NOT NULL CHECK (length(digest) = 16),
    session_id      INTEGER NOT NULL REFERENCES session (id) ON DELETE CASCADE,
    generation      INTEGER NOT NULL CHECK (generation >= 0),
    -- 1 when it opened its generation, 0 when the generation was open already (a lost answer).
    opens           INTEGER NOT NULL CHECK (opens IN (0, 1)),
    issued_at       INTEGER NOT NULL,
    expires_at      INTEGER NOT NULL,
    replaced        INTEGER NOT NULL DEFAULT 0 CHECK (replaced IN (0, 1))
) STRICT;

CREATE INDEX refresh_token_by_digest ON refresh_token (digest);
CREATE INDEX refresh_token_by_session ON refresh_token (session_id, generation, issued_at);
CREATE INDEX refresh_token_by_expiry ON refresh_token (expires_at);

-- [local] The newest generation of a session of which an access token was accepted here: its owner
-- has it, and needs no older refresh token.
CREATE TABLE session_use (
    session_id      INTEGER PRIMARY KEY REFERENCES session (id) ON DELETE CASCADE,
    generation      INTEGER NOT NULL
) STRICT;

-- [replicated] One-time codes handed out at the desk: the first half of the digest. The newest of an
-- account counts, while its epoch is the account's.
CREATE TABLE desk_code (
    id              INTEGER PRIMARY KEY,
    digest          BLOB    NOT NULL CHECK (length(digest) = 16),
    patient_id      INTEGER REFERENCES patient (id),
    staff_id        INTEGER REFERENCES staff (id),
    access_epoch    INTEGER NOT NULL,
    created_at      INTEGER NOT NULL,
    expires_at      INTEGER NOT NULL,
    CHECK ((patient_id IS NULL) <> (staff_id IS NULL))
) STRICT;

CREATE INDEX desk_code_by_digest ON desk_code (digest);
CREATE INDEX desk_code_by_patient ON desk_code (patient_id, created_at) WHERE patient_id IS NOT NULL;
CREATE INDEX desk_code_by_staff ON desk_code (staff_id, created_at) WHERE staff_id IS NOT NULL;
CREATE INDEX desk_code_by_expiry ON desk_code (expires_at);

-- [local] Recovery links that this node mailed. Digests only. Anybody can ask for one, so they are
-- not replicated: the logs would grow at a stranger's word.
CREATE TABLE recovery (
    digest          BLOB    PRIMARY KEY CHECK (length(digest) = 32),
    patient_id      INTEGER REFERENCES patient (id),
    staff_id        INTEGER REFERENCES staff (id),
    access_epoch    INTEGER NOT NULL,
    created_at      INTEGER NOT NULL,
    expires_at      INTEGER NOT NULL,
    CHECK ((patient_id IS NULL) <> (staff_id IS NULL))
) STRICT, WITHOUT ROWID;

CREATE INDEX recovery_by_patient ON recovery (patient_id) WHERE patient_id IS NOT NULL;
CREATE INDEX recovery_by_staff ON recovery (staff_id) WHERE staff_id IS NOT NULL;

-- [local] The last row ids that this replica gave out in tables whose rows are forgotten: no id may
-- be given out twice.
CREATE TABLE row_counter (
    entity          INTEGER PRIMARY KEY,
    last            INTEGER NOT NULL
) STRICT;

-- [local] Invitations to the network that this node gave out. Digests only.
CREATE TABLE invitation (
    digest          BLOB    PRIMARY KEY CHECK (length(digest) = 32),
    created_at      INTEGER NOT NULL,
    expires_at      INTEGER NOT NULL,
    -- The key of the node that used it. It may ask again: its answer may have been lost.
    used_by         BLOB    CHECK (length(used_by) = 32)
) STRICT, WITHOUT ROWID;

CREATE INDEX invitation_by_expiry ON invitation (expires_at);

-- [local] The nodes that turned this one away because it was removed from the network, by their keys, and since when.
CREATE TABLE turned_away (
    public_key      BLOB    PRIMARY KEY CHECK (length(public_key) = 32),
    at              INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- [local] Answers to writes that nothing in the data itself makes repeatable.
CREATE TABLE idempotency (
    key             BLOB    PRIMARY KEY CHECK (length(key) = 32),
    entity          INTEGER NOT NULL,
    row_id          INTEGER NOT NULL,
    created_at      INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX idempotency_by_age ON idempotency (created_at);

-- [replicated] The replicas of the network and the keys of their nodes. A revoked replica is cut off
-- after its change `cut_seq`: what comes after is kept aside and never applied. So is all of a replica that its node
-- became unknown to whoever revoked it: one cut row ends the key.
CREATE TABLE member (
    id              INTEGER PRIMARY KEY,
    number          INTEGER NOT NULL CHECK (number BETWEEN 0 AND 2097151),
    replica_id      BLOB    NOT NULL CHECK (length(replica_id) = 16),
    -- Ed25519: signs the log and the peer connections of the node.
    public_key      BLOB    NOT NULL CHECK (length(public_key) = 32),
    -- Ed25519: signs the access tokens of the node.
    token_key       BLOB    NOT NULL CHECK (length(token_key) = 32),
    name            TEXT    NOT NULL,
    -- Where other nodes reach it: JSON list of HOST:PORT.
    addresses       TEXT    NOT NULL,
    created_at      INTEGER NOT NULL,
    cut_seq         INTEGER,
    cut_hash        BLOB,
    revoked_at      INTEGER
) STRICT;

CREATE INDEX member_by_number ON member (number);

-- [replicated] A conflict that somebody settled, and why: about a field of a row, and of a pair of rows
-- about the other one too.
CREATE TABLE settlement (
    id              INTEGER PRIMARY KEY,
    entity          INTEGER NOT NULL,
    row_id          INTEGER NOT NULL,
    field           INTEGER NOT NULL,
    reason          TEXT    NOT NULL,
    staff_id        INTEGER REFERENCES staff (id),
    created_at      INTEGER NOT NULL,
    other_id        INTEGER
) STRICT;

CREATE INDEX settlement_by_row ON settlement (entity, row_id, field);

-- [derived] Pairs of rows that should not both be, such as two patients with one e-mail address, until
-- somebody acknowledged them (src/store/collisions.rs). Holds nothing but what is open.
CREATE TABLE collision (
    entity          INTEGER NOT NULL,
    row_id          INTEGER NOT NULL,
    field           INTEGER NOT NULL,
    other_id        INTEGER NOT NULL,
    PRIMARY KEY (entity, row_id, field)
) STRICT, WITHOUT ROWID;

-- [replicated] Values of fields that were written after their row was made, and not replaced since:
-- one row for each, more than one when they were written at the same time (sync/src/register.rs).
-- The row itself shows the one that the rules choose.
CREATE TABLE register (
    entity          INTEGER NOT NULL,
    row_id          INTEGER NOT NULL,
    field_group     INTEGER NOT NULL,
    element         TEXT    NOT NULL,
    replica         INTEGER NOT NULL,
    seq             INTEGER NOT NULL,
    hlc             INTEGER NOT NULL,
    -- One operation in the encoding of sync/src/change.rs.
    fields          BLOB    NOT NULL,
    -- Whether people are to look at the siblings.
    conflict        INTEGER NOT NULL CHECK (conflict IN (0, 1)),
    PRIMARY KEY (entity, row_id, field_group, element, replica, seq)
) STRICT, WITHOUT ROWID;

CREATE INDEX register_conflict ON register (entity, row_id) WHERE conflict = 1;
-- What was written later to patients, readings, places and appointments, log by log: src/store/feed tells of it.
CREATE INDEX register_by_change ON register (replica, seq) WHERE entity IN (1, 3, 5, 6);

-- The newest changes of this replica: one row per committed transaction that changed replicated
-- rows. `ops` is the encoding of sync/src/change.rs. Rows that a segment holds are removed.
CREATE TABLE change (
    seq             INTEGER PRIMARY KEY,
    hlc             INTEGER NOT NULL,
    ops             BLOB    NOT NULL
) STRICT;

-- The logs of all replicas, this one's older part included, in compressed runs
-- (sync/src/segment.rs), each with the chain hash at its end and the author's signature over it.
CREATE TABLE segment (
    id              INTEGER PRIMARY KEY,
    number          INTEGER NOT NULL,
    first_seq       INTEGER NOT NULL,
    last_seq        INTEGER NOT NULL CHECK (last_seq >= first_seq),
    -- Stamp of the first change: runs of several logs are sent in this order.
    hlc             INTEGER NOT NULL,
    hash            BLOB    NOT NULL CHECK (length(hash) = 32),
    signature       BLOB    NOT NULL CHECK (length(signature) = 64),
    bytes           BLOB    NOT NULL
) STRICT;

CREATE UNIQUE INDEX segment_by_log ON segment (number, last_seq);
-- Small runs, which are joined when there are many.
CREATE INDEX segment_small ON segment (number, last_seq) WHERE last_seq - first_seq < 1024;

-- [local] The logs of the other replicas: how far they are stored here, and how far applied.
CREATE TABLE log (
    number          INTEGER PRIMARY KEY,
    replica_id      BLOB    NOT NULL CHECK (length(replica_id) = 16),
    public_key      BLOB    NOT NULL CHECK (length(public_key) = 32),
    seq             INTEGER NOT NULL,
    hash            BLOB    NOT NULL CHECK (length(hash) = 32),
    applied         INTEGER NOT NULL CHECK (applied <= seq),
    -- The first 32 bits of the chain hash there.
    applied_mark    INTEGER NOT NULL DEFAULT 0,
    -- What the node that let this one in said of it, until its row in `member` has come.
    name            TEXT,
    addresses       TEXT CHECK (addresses IS NULL OR json_valid(addresses)),
    -- Set when nothing more is taken. Says why.
    stopped         TEXT,
    -- Once it was heard that its node was revoked: the last change that took effect here, be it beyond the cut.
    counted         INTEGER,
    -- Of a branch (sync/src/branch.rs): which log it leaves, after which change, the chain hashes there and
    -- after the first change of its own, and when this node learned of it.
    branch_of       INTEGER,
    branch_after    INTEGER,
    branch_base     BLOB    CHECK (length(branch_base) = 32),
    branch_first    BLOB    CHECK (length(branch_first) = 32),
    branch_seen_at  INTEGER,
    CHECK ((branch_of IS NULL) = (branch_after IS NULL)),
    CHECK ((branch_of IS NULL) = (branch_base IS NULL)),
    CHECK ((branch_of IS NULL) = (branch_first IS NULL))
) STRICT;

-- [derived] Rows that were made on branches, and by which change of theirs.
CREATE TABLE branch_row (
    entity          INTEGER NOT NULL,
    row_id          INTEGER NOT NULL,
    seq             INTEGER NOT NULL,
    PRIMARY KEY (entity, row_id)
) STRICT, WITHOUT ROWID;

-- [derived] Which log the author of a log means by a number, where that is not the one of that number.
CREATE TABLE branch_meaning (
    author          INTEGER NOT NULL,
    said            INTEGER NOT NULL,
    meant           INTEGER NOT NULL,
    PRIMARY KEY (author, said)
) STRICT, WITHOUT ROWID;

-- [derived] What the author of each log had seen of the others at its newest applied change.
CREATE TABLE context (
    author          INTEGER NOT NULL,
    of              INTEGER NOT NULL,
    seq             INTEGER NOT NULL,
    PRIMARY KEY (author, of)
) STRICT, WITHOUT ROWID;

-- [derived] Operations that could not be applied: of a later version, or wrong. They stay in the
-- log and are tried again after an upgrade.
CREATE TABLE refused_op (
    number          INTEGER NOT NULL,
    seq             INTEGER NOT NULL,
    position        INTEGER NOT NULL,
    entity          INTEGER NOT NULL,
    reason          TEXT    NOT NULL,
    PRIMARY KEY (number, seq, position)
) STRICT, WITHOUT ROWID;

-- Who did or saw what of whom, when, from where, with which outcome. Append-only; each hash
-- covers the one before (src/store/audit.rs gives the bytes). Holds ids, never names or values.
CREATE TABLE audit_entry (
    seq             INTEGER PRIMARY KEY,
    at              INTEGER NOT NULL,
    -- Not IN: of a list of more than two SQLite makes a table anew for each row that is checked against it, and
    -- every write comes with a row here.
    actor_kind      TEXT    NOT NULL CHECK (actor_kind = 'anonymous' OR actor_kind = 'patient'
                    OR actor_kind = 'staff' OR actor_kind = 'operator' OR actor_kind = 'system'),
    actor_id        INTEGER,
    action          TEXT    NOT NULL,
    outcome         TEXT    NOT NULL CHECK (outcome = 'ok' OR outcome = 'denied' OR outcome = 'failed'),
    -- Whose data it was.
    patient_id      INTEGER,
    object_kind     TEXT,
    object_id       INTEGER,
    address         TEXT,
    session         TEXT,
    request_id      TEXT,
    -- The change that was committed together with this entry.
    change_seq      INTEGER,
    detail          TEXT,
    -- The digest of that change, so that the chain covers the change log too.
    change_hash     BLOB    CHECK (length(change_hash) = 32),
    hash            BLOB    NOT NULL CHECK (length(hash) = 32),
    CHECK ((change_seq IS NULL) = (change_hash IS NULL))
) STRICT;

CREATE INDEX audit_by_patient ON audit_entry (patient_id) WHERE patient_id IS NOT NULL;
-- What shows the data of many patients at once belongs to the log of each.
CREATE INDEX audit_of_many ON audit_entry (seq)
    WHERE action = 'patient.list' OR action = 'reading.list_all' OR action = 'queue.list';
CREATE INDEX audit_by_staff ON audit_entry (actor_id) WHERE actor_kind = 'staff';
-- What a patient does concerns that patient in all but a few cases: the first index serves those,
-- this one the few, which costs a reading nothing.
CREATE INDEX audit_by_stranger ON audit_entry (actor_id)
    WHERE actor_kind = 'patient' AND patient_id IS NOT actor_id;

CREATE TRIGGER audit_entry_no_update BEFORE UPDATE ON audit_entry
BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END;
CREATE TRIGGER audit_entry_no_delete BEFORE DELETE ON audit_entry
BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END;
CREATE TRIGGER change_no_update BEFORE UPDATE ON change
BEGIN SELECT RAISE(ABORT, 'the change log is append-only'); END;
CREATE TRIGGER change_no_delete BEFORE DELETE ON change
WHEN NOT EXISTS (SELECT 1 FROM segment JOIN replica USING (number)
                 WHERE old.seq BETWEEN first_seq AND last_seq)
BEGIN SELECT RAISE(ABORT, 'the change log is append-only'); END;
