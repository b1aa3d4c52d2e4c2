//! The names of branches, and the rows that their authors mean. Must never need a whole replica to be shown.

use super::*;

const REPLICA: ReplicaId = ReplicaId([5; 16]);
const PATIENT: u8 = 1;
const READING: u8 = 3;

fn number(n: u32) -> ReplicaNumber {
    ReplicaNumber::new(n).unwrap()
}

fn row(replica: ReplicaNumber, counter: u32) -> RowId {
    RowId::new(replica, counter).unwrap()
}

fn create(entity: u8, row: RowId, fields: Vec<(u8, Value<'static>)>) -> Op<'static> {
    Op {
        entity,
        action: Action::Create,
        row,
        fields,
    }
}

/// Replica 3 left its log after change 10; the branch made patient 7.
fn forked() -> (Names, ReplicaNumber) {
    let branch = Branch {
        of: number(3),
        after: 10,
        first: [1; 32],
    };
    let leaf = branch.number(REPLICA);
    let mut names = Names::default();
    names.branch(leaf, &branch);
    let mut op = create(PATIENT, row(number(3), 7), vec![]);
    names.translate(leaf, &mut op);
    names.note(leaf, 11, &op);
    assert_eq!(op.row, row(leaf, 7));
    (names, leaf)
}

#[test]
fn the_name_of_a_branch_is_made_from_what_is_in_it() {
    let branch = |of, first| Branch {
        of: number(of),
        after: 1,
        first,
    };
    let name = branch(3, [1; 32]).number(REPLICA);
    assert_eq!(name, branch(4, [1; 32]).number(REPLICA));
    assert_ne!(name, branch(3, [2; 32]).number(REPLICA));
    assert_ne!(name, branch(3, [1; 32]).number(ReplicaId([6; 16])));
}

#[test]
fn the_earlier_continuation_keeps_the_name() {
    let first = |wall_ms, byte| (Hlc::default().tick(wall_ms), [byte; 32]);
    assert!(keeps_name(&first(1, 9), &first(2, 0)));
    assert!(keeps_name(&first(1, 0), &first(1, 1)));
    assert!(!keeps_name(&first(1, 1), &first(1, 1)));
}

#[test]
fn one_id_means_two_patients_by_who_says_it() {
    let (mut names, leaf) = forked();
    let (b, c) = (number(20), number(21));
    names.see(b, number(3), leaf);
    names.see(c, number(3), number(3));
    assert_eq!(names.row(b, PATIENT, row(number(3), 7)), row(leaf, 7));
    assert_eq!(names.row(c, PATIENT, row(number(3), 7)), row(number(3), 7));
    // What was made before the fork, and other kinds of rows, are the log's for both.
    assert_eq!(names.row(b, PATIENT, row(number(3), 6)), row(number(3), 6));
    assert_eq!(names.row(b, READING, row(number(3), 7)), row(number(3), 7));

    let link = vec![(1, Value::Int(row(number(3), 7).get()))];
    let mut reading = create(READING, row(b, 1), link);
    names.translate(b, &mut reading);
    assert_eq!(reading.fields[0].1, Value::Int(row(leaf, 7).get()));
    assert_eq!(reading.row, row(b, 1));

    // Once b knows of both, it says both names.
    names.see(b, number(3), number(3));
    assert_eq!(names.row(b, PATIENT, row(number(3), 7)), row(number(3), 7));
    assert_eq!(names.row(b, PATIENT, row(leaf, 7)), row(leaf, 7));
}

#[test]
fn a_branch_of_a_branch_finds_the_rows_of_both() {
    let (mut names, leaf) = forked();
    let twig = Branch {
        of: leaf,
        after: 12,
        first: [2; 32],
    };
    let tip = twig.number(REPLICA);
    names.branch(tip, &twig);
    let mut later = create(PATIENT, row(number(3), 8), vec![]);
    names.translate(leaf, &mut later);
    names.note(leaf, 13, &later);
    let mut own = create(PATIENT, row(number(3), 8), vec![]);
    names.translate(tip, &mut own);
    assert_eq!(own.row, row(tip, 8));
    assert_eq!(names.row(tip, PATIENT, row(number(3), 7)), row(leaf, 7));
    // Made on the branch after the twig had left it, so the twig cannot mean it.
    assert_eq!(
        names.row(tip, PATIENT, row(number(3), 8)),
        row(number(3), 8)
    );
    names.note(tip, 13, &own);
    assert_eq!(names.row(tip, PATIENT, row(number(3), 8)), row(tip, 8));
}

#[test]
fn a_settlement_and_a_set_are_translated_too() {
    let (names, leaf) = forked();
    let id = row(number(3), 7);
    let fields = vec![(1, Value::Int(PATIENT.into())), (2, Value::Int(id.get()))];
    let mut settlement = create(rules::SETTLEMENT.code, row(number(3), 1), fields);
    names.translate(leaf, &mut settlement);
    assert_eq!(settlement.fields[1].1, Value::Int(row(leaf, 7).get()));
    assert_eq!(settlement.row, row(leaf, 1));
}
