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
    node_id         TEXT    NOT NULL,
    clinic          TEXT    NOT NULL,
    created_at      INTEGER NOT NULL,
    -- The hybrid logical clock: milliseconds << 16 | counter. Never goes back.
    hlc             INTEGER NOT NULL,
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
    dni                     TEXT    NOT NULL UNIQUE,
    name                    TEXT    NOT NULL,
    surname                 TEXT    NOT NULL,
    email                   TEXT    NOT NULL UNIQUE COLLATE NOCASE,
    tidepool                TEXT,
    hospital_account        TEXT    NOT NULL UNIQUE,
    blocked                 INTEGER NOT NULL DEFAULT 0 CHECK (blocked IN (0, 1)),
    password_hash           TEXT    NOT NULL,
    password_reset_required INTEGER NOT NULL DEFAULT 0 CHECK (password_reset_required IN (0, 1)),
    -- Counted by another system before this account came here; the derived counters start there.
    former_times_measured   INTEGER NOT NULL DEFAULT 0 CHECK (former_times_measured >= 0),
    former_max_streak       INTEGER NOT NULL DEFAULT 0 CHECK (former_max_streak >= 0),
    created_at              INTEGER NOT NULL,
    updated_at              INTEGER NOT NULL
) STRICT;

-- [replicated] Doctors, the front desk and administrators.
CREATE TABLE staff (
    id                      INTEGER PRIMARY KEY,
    username                TEXT    NOT NULL UNIQUE COLLATE NOCASE,
    email                   TEXT    NOT NULL UNIQUE COLLATE NOCASE,
    blocked                 INTEGER NOT NULL DEFAULT 0 CHECK (blocked IN (0, 1)),
    password_hash           TEXT    NOT NULL,
    password_reset_required INTEGER NOT NULL DEFAULT 0 CHECK (password_reset_required IN (0, 1)),
    created_at              INTEGER NOT NULL,
    updated_at              INTEGER NOT NULL
) STRICT;

-- [replicated] Roles are a set: an observed-remove set once nodes exchange changes.
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
    notes           TEXT
) STRICT;

-- Serves "newest page of one patient", "last 15 days" and the search for the same reading.
CREATE INDEX reading_by_patient ON reading (patient_id, measured_at);

-- [derived] Readings of one patient recorded on one day: streaks and counters come from it.
CREATE TABLE patient_day (
    patient_id      INTEGER NOT NULL REFERENCES patient (id),
    day             TEXT    NOT NULL,
    readings        INTEGER NOT NULL,
    PRIMARY KEY (patient_id, day)
) STRICT, WITHOUT ROWID;

-- [derived] Counters that the app shows, kept so that a profile costs one row.
CREATE TABLE patient_counter (
    patient_id      INTEGER PRIMARY KEY REFERENCES patient (id),
    times_measured  INTEGER NOT NULL,
    streak          INTEGER NOT NULL,
    max_streak      INTEGER NOT NULL,
    streak_last_day TEXT
) STRICT;

-- [replicated] One opening of the appointment queue. The newest row is the current queue day.
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
    updated_at      INTEGER NOT NULL,
    CHECK (priority = 0 OR priority_reason IS NOT NULL)
) STRICT;

-- One live entry per patient, over all days: waiting patients move on with the queue.
CREATE UNIQUE INDEX queue_entry_live ON queue_entry (patient_id)
    WHERE state IN ('PENDING', 'ACCEPTED', 'DENIED', 'CREATED');
CREATE INDEX queue_entry_by_day ON queue_entry (queue_day_id, state);

-- [replicated] The clinical form that an accepted patient sends.
CREATE TABLE appointment (
    id                INTEGER PRIMARY KEY,
    patient_id        INTEGER NOT NULL REFERENCES patient (id),
    queue_entry_id    INTEGER UNIQUE REFERENCES queue_entry (id),
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
    created_at        INTEGER NOT NULL
) STRICT;

CREATE INDEX appointment_by_patient ON appointment (patient_id);

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

CREATE INDEX resolution_by_appointment ON resolution (appointment_id);

-- [local until sessions replicate] One log-in on one device: a family of refresh tokens, with the
-- state that src/auth/refresh.rs decides by.
CREATE TABLE session (
    id              TEXT    PRIMARY KEY,
    patient_id      INTEGER REFERENCES patient (id),
    staff_id        INTEGER REFERENCES staff (id),
    generation      INTEGER NOT NULL,
    -- Whether a token of that generation was used: its owner has it, and needs no older one.
    generation_used INTEGER NOT NULL DEFAULT 0 CHECK (generation_used IN (0, 1)),
    issued_at       INTEGER NOT NULL,
    created_at      INTEGER NOT NULL,
    expires_at      INTEGER NOT NULL,
    revoked_at      INTEGER,
    CHECK ((patient_id IS NULL) <> (staff_id IS NULL))
) STRICT, WITHOUT ROWID;

CREATE INDEX session_by_patient ON session (patient_id) WHERE patient_id IS NOT NULL;
CREATE INDEX session_by_staff ON session (staff_id) WHERE staff_id IS NOT NULL;
CREATE INDEX session_by_expiry ON session (expires_at);

-- [local until sessions replicate] Every refresh token that was handed out, as a digest. Old ones
-- stay until they expire: an old token that turns up shows that two parties hold the family.
CREATE TABLE refresh_token (
    digest          BLOB    PRIMARY KEY CHECK (length(digest) = 32),
    session_id      TEXT    NOT NULL REFERENCES session (id) ON DELETE CASCADE,
    generation      INTEGER NOT NULL,
    replaced        INTEGER NOT NULL DEFAULT 0 CHECK (replaced IN (0, 1)),
    issued_at       INTEGER NOT NULL,
    expires_at      INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX refresh_token_by_session ON refresh_token (session_id, generation);

-- [local] Recovery links (mail) and one-time codes (handed out at the desk). Digests only.
CREATE TABLE recovery (
    digest          BLOB    PRIMARY KEY CHECK (length(digest) = 32),
    patient_id      INTEGER REFERENCES patient (id),
    staff_id        INTEGER REFERENCES staff (id),
    kind            TEXT    NOT NULL CHECK (kind IN ('mail', 'desk')),
    created_at      INTEGER NOT NULL,
    expires_at      INTEGER NOT NULL,
    CHECK ((patient_id IS NULL) <> (staff_id IS NULL))
) STRICT, WITHOUT ROWID;

CREATE INDEX recovery_by_patient ON recovery (patient_id) WHERE patient_id IS NOT NULL;
CREATE INDEX recovery_by_staff ON recovery (staff_id) WHERE staff_id IS NOT NULL;

-- [local] Answers to writes that nothing in the data itself makes repeatable.
CREATE TABLE idempotency (
    key             BLOB    PRIMARY KEY CHECK (length(key) = 32),
    row_id          INTEGER NOT NULL,
    created_at      INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX idempotency_by_age ON idempotency (created_at);

-- The change log: one row per committed transaction that changed replicated rows. `ops` is the
-- encoding of sync/src/op.rs. Rows are grouped into signed, compressed segments when nodes
-- exchange them.
CREATE TABLE change (
    seq             INTEGER PRIMARY KEY,
    hlc             INTEGER NOT NULL,
    ops             BLOB    NOT NULL
) STRICT;

-- Who did or saw what of whom, when, from where, with which outcome. Append-only; each hash
-- covers the one before (src/store/audit.rs gives the bytes). Holds ids, never names or values.
CREATE TABLE audit_entry (
    seq             INTEGER PRIMARY KEY,
    at              INTEGER NOT NULL,
    actor_kind      TEXT    NOT NULL CHECK (actor_kind IN
                    ('anonymous', 'patient', 'staff', 'operator', 'system')),
    actor_id        INTEGER,
    action          TEXT    NOT NULL,
    outcome         TEXT    NOT NULL CHECK (outcome IN ('ok', 'denied', 'failed')),
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
    WHERE action IN ('patient.list', 'reading.list_all', 'queue.list');
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
BEGIN SELECT RAISE(ABORT, 'the change log is append-only'); END;
