//! Faults put into the program on purpose, to show that the checks see them.

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Mutation {
    #[default]
    None,
    /// Entries are made without looking at rights.
    NoEscrow,
    /// A denied place is given away at once.
    DenialFreesAtOnce,
    /// Every write replaces all that is there, seen or not.
    NoContext,
    /// A sighting is believed without its mark.
    NoMarks,
    /// Answers before the commit.
    AckEarly,
    /// Of writes that crossed, only the one with the latest stamp is kept.
    LatestOnly,
    /// Takes over whatever clock a peer has.
    ClockUnbounded,
    /// Goes on after a restore as if nothing had happened.
    NoIncarnation,
    /// A new replica accepts on rights of those who do not know it.
    RelyOnAnybody,
    /// Counts what a peer has stored as what it has applied.
    AckStored,
}
