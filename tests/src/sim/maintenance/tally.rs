//! What schedules count.

/// What happened in a schedule: a simulation in which nothing happens proves nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tally {
    /// Sessions that were made.
    pub sessions: u32,
    /// Those that were refused because a host is another's.
    pub conflicts: u32,
    /// Sessions that ended as they should.
    pub done: u32,
    /// How often one failed.
    pub failed: u32,
    /// How often one was continued.
    pub continued: u32,
    /// Deletions.
    pub deleted: u32,
    /// Answers that were accepted.
    pub answers: u32,
    /// Plug-ins that ended well.
    pub plugins: u32,
    /// Boots.
    pub boots: u32,
    /// Crashes of the manager.
    pub manager_crashes: u32,
    /// Crashes of agents, and power failures.
    pub agent_crashes: u32,
    /// Frames and answers that came twice.
    pub duplicates: u32,
    /// How often the store did not answer for a while.
    pub outages: u32,
    /// Moves of instances.
    pub moves: u32,
}

impl Tally {
    /// Adds those of another schedule.
    pub fn add(&mut self, one: Self) {
        self.sessions += one.sessions;
        self.conflicts += one.conflicts;
        self.done += one.done;
        self.failed += one.failed;
        self.continued += one.continued;
        self.deleted += one.deleted;
        self.answers += one.answers;
        self.plugins += one.plugins;
        self.boots += one.boots;
        self.manager_crashes += one.manager_crashes;
        self.agent_crashes += one.agent_crashes;
        self.duplicates += one.duplicates;
        self.outages += one.outages;
        self.moves += one.moves;
    }
}
