//! Short histories that are written out, for the failures that a reader wants to see one by one.

use std::rc::Rc;

use islet_sync::chain::Hash;
use islet_sync::id::{ReplicaNumber, RowId};
use islet_sync::incarnation::Reason;
use islet_sync::op::{Action, Op, Value};
use islet_sync::rules::{Entity, PATIENT, QUEUE_DAY, QUEUE_ENTRY, READING};

use super::check;
use super::clinic;
use super::fault::Faults;
use super::logs::Change;
use super::mutation::Mutation;
use super::node::Disk;
use super::queue::Step;
use super::replica::{Db, Replica};
use super::session;
use super::world::World;

/// A network of nodes that know each other, and nothing that goes wrong by itself.
pub(crate) fn clinic_of(nodes: usize) -> World {
    World::new(7, nodes, Faults::default(), Mutation::None)
}

impl World {
    pub(crate) fn replica(&self, i: usize) -> &Replica {
        self.nodes[i].live.as_ref().unwrap()
    }

    pub(crate) fn replica_mut(&mut self, i: usize) -> &mut Replica {
        self.nodes[i].live.as_mut().unwrap()
    }

    /// A write that is answered.
    pub(crate) fn does(
        &mut self,
        i: usize,
        make: impl FnOnce(&mut Replica) -> Option<Vec<Op<'static>>>,
    ) -> Option<Hash> {
        self.now_ms += 1000;
        self.write_with(i, |replica, _| make(replica))
    }

    pub(crate) fn newest(&self, i: usize, entity: &'static Entity) -> RowId {
        let me = self.replica(i).me();
        let rows = self.replica(i).state.rows(entity).map(|(id, _)| id);
        rows.filter(|id| id.replica() == me).max().unwrap()
    }

    /// A new reading at node `i`, of its own patient.
    pub(crate) fn reads(&mut self, i: usize, glucose: f64) -> RowId {
        let patient = self.replica(0).state.rows(&PATIENT).next().unwrap().0;
        self.does(i, |replica| {
            let fields = vec![
                (1, Value::Int(patient.get())),
                (2, Value::Real(glucose)),
                (3, Value::Int(1)),
                (4, Value::Int(1)),
                (5, Value::Int(1)),
                (6, Value::Int(0)),
                (7, Value::Int(0)),
                (8, Value::Null),
            ];
            let row = replica.next_row();
            Some(vec![Op {
                entity: READING.code,
                action: Action::Create,
                row,
                fields,
            }])
        });
        self.newest(i, &READING)
    }

    pub(crate) fn corrects(&mut self, i: usize, reading: RowId, glucose: f64, status: i64) {
        let fields = vec![
            (2, Value::Real(glucose)),
            (3, Value::Int(1)),
            (5, Value::Int(status)),
            (8, Value::Null),
        ];
        let op = Op {
            entity: READING.code,
            action: Action::Set,
            row: reading,
            fields,
        };
        self.does(i, |_| Some(vec![op])).unwrap();
    }

    pub(crate) fn opens(&mut self, i: usize, size: i64) -> RowId {
        self.does(i, |replica| Some(replica.open_day(size)))
            .unwrap();
        self.newest(i, &QUEUE_DAY)
    }

    /// A patient asks for a place at node `i`; `None` when it is full there.
    pub(crate) fn submits(&mut self, i: usize, day: RowId) -> Option<RowId> {
        let patient = self.replica(i).state.rows(&PATIENT).next().unwrap().0;
        self.does(i, |replica| replica.submit(day, patient))?;
        Some(self.newest(i, &QUEUE_ENTRY))
    }

    pub(crate) fn steps(&mut self, i: usize, entry: RowId, step: Step) -> Option<Hash> {
        self.does(i, |replica| replica.step(entry, step))
    }

    /// Node `i` hands rights to node `j`.
    pub(crate) fn hands(&mut self, i: usize, j: usize, day: RowId, wanted: i64) -> Option<Hash> {
        let to = self.replica(j).me();
        self.does(i, |replica| replica.hand_over(day, to, wanted))
    }

    pub(crate) fn glucose(&self, i: usize, reading: RowId) -> Value<'static> {
        self.replica(i)
            .state
            .row(&READING, reading.get())
            .unwrap()
            .value(2)
            .clone()
    }

    /// How many values of a reading people are asked to look at.
    pub(crate) fn crossed(&self, i: usize, reading: RowId) -> usize {
        let register = self
            .replica(i)
            .state
            .register(&clinic::reading_key(reading.get()));
        register
            .filter(|(_, conflict)| *conflict)
            .map_or(0, |(siblings, _)| siblings.len())
    }

    pub(crate) fn state_of(&self, i: usize, entry: RowId) -> String {
        self.replica(i)
            .state
            .row(&QUEUE_ENTRY, entry.get())
            .unwrap()
            .text(3)
            .to_owned()
    }

    /// The node's database goes back to an older one; the identity file stays.
    pub(crate) fn restores(&mut self, i: usize, db: Db) {
        self.forgive(i);
        self.crash(i);
        self.nodes[i].disk.db = db;
        self.start(i);
    }

    /// The whole card goes back.
    pub(crate) fn puts_back(&mut self, i: usize, disk: Disk) {
        self.forgive(i);
        self.crash(i);
        self.suspect(&disk.db);
        self.nodes[i].disk = disk;
        self.start(i);
    }

    pub(crate) fn last_reason(&self, i: usize) -> Option<Reason> {
        self.nodes[i].reasons.last().copied()
    }

    /// Everything works again, and everything holds.
    pub(crate) fn ends_well(&mut self) {
        self.heal().unwrap();
        check::everything(self).unwrap();
    }

    /// A packet of node `i` with a run of a log, as it is or changed.
    pub(crate) fn run_packet(
        &mut self,
        i: usize,
        of: ReplicaNumber,
        change: impl FnOnce(&mut Vec<Rc<Change>>),
    ) -> Vec<u8> {
        let replica = self.replica_mut(i);
        replica.seal();
        let log = replica.db.logs.get(of).unwrap();
        let (who, first_seq) = (log.who, log.base.seq + 1);
        let mut changes = log.changes().to_vec();
        let seal = *log.seals.last_key_value().unwrap().1;
        change(&mut changes);
        let mut packet = session::call(replica);
        session::put_run(&mut packet, &who, first_seq, &changes, &seal);
        packet
    }
}
