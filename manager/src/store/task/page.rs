//! Pages of the list of tasks, which may be long: filters and orders are done where the rows are.

use sqlx::Row as _;

use super::{Task, task_from};
use crate::store::tx::{Connection, Result};

/// What tasks can be filtered and sorted by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TaskColumn {
    /// The number.
    Id,
    /// The kind of work.
    Kind,
    /// The sentence for people.
    Name,
    /// Where it stands.
    State,
    /// Who asked.
    StartedBy,
    /// When, in microseconds.
    StartedAt,
    /// When it ended, in microseconds.
    FinishedAt,
    /// What it is about, for people.
    Object,
    /// The id of the host that it is about.
    Host,
    /// 1 if it has ended, else 0.
    Done,
    /// 1 if a cancel was accepted, else 0.
    Cancelled,
    /// How it ended.
    StatusCode,
}

impl TaskColumn {
    fn sql(self) -> &'static str {
        match self {
            Self::Id => "id",
            Self::Kind => "kind",
            Self::Name => "name",
            Self::State => "state",
            Self::StartedBy => "started_by",
            Self::StartedAt => "started_at",
            Self::FinishedAt => "finished_at",
            Self::Object => "coalesce(object, (select host.name from host where host.id = task.host_id), host_id)",
            Self::Host => "host_id",
            Self::Done => "(case when finished_at is null then 0 else 1 end)",
            Self::Cancelled => "cancelled",
            Self::StatusCode => {
                "(case when state = 'CANCELED' then -256 when state = 'FAILED' and status_code = 0 then 1 else status_code end)"
            }
        }
    }

    fn is_text(self) -> bool {
        matches!(self, Self::Kind | Self::Name | Self::State | Self::StartedBy | Self::Object | Self::Host)
    }
}

/// Columns in which a search looks.
const SEARCHED: [TaskColumn; 5] =
    [TaskColumn::Name, TaskColumn::State, TaskColumn::Kind, TaskColumn::StartedBy, TaskColumn::Object];

/// What a column is compared with.
#[derive(Clone, Debug, PartialEq)]
pub enum Bound {
    /// A whole number.
    Int(i64),
    /// Another number.
    Real(f64),
    /// A text.
    Text(String),
}

/// How a column is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Comparison {
    /// Equal.
    Eq,
    /// Different, or absent.
    Ne,
    /// Greater.
    Gt,
    /// Greater or equal.
    Ge,
    /// Less.
    Lt,
    /// Less or equal.
    Le,
}

impl Comparison {
    fn sql(self) -> &'static str {
        match self {
            Self::Eq => "=",
            Self::Ne => "<>",
            Self::Gt => ">",
            Self::Ge => ">=",
            Self::Lt => "<",
            Self::Le => "<=",
        }
    }
}

/// Which tasks a page is of.
#[derive(Clone, Debug, PartialEq)]
pub enum TaskCondition {
    /// All of them hold.
    All(Vec<TaskCondition>),
    /// One of them holds.
    Any(Vec<TaskCondition>),
    /// It does not hold.
    Not(Box<TaskCondition>),
    /// A text column contains that, in any case of letters; it is in small letters itself.
    Search(String),
    /// A column compares so.
    Compare(TaskColumn, Comparison, Bound),
    /// A column is one of these, or, where it is a text, a part of the last.
    In(TaskColumn, Vec<Bound>, String),
    /// A column contains that text.
    Contains(TaskColumn, String),
}

/// A request for a page.
#[derive(Clone, Debug, Default)]
pub struct TaskQuery {
    /// Which tasks.
    pub condition: Option<TaskCondition>,
    /// The order, and whether the greatest come first; the newest come first where nothing is said.
    pub sort: Vec<(TaskColumn, bool)>,
    /// How many tasks come before the page.
    pub after: u64,
    /// How many tasks the page has at the most.
    pub limit: u32,
    /// How many characters of the end of their output are read.
    pub output: u32,
}

/// The text of a condition, with the values that are bound to its places.
#[derive(Default)]
struct Clause {
    text: String,
    bound: Vec<Bound>,
}

impl Clause {
    fn place(&mut self, value: Bound) -> String {
        self.bound.push(value);
        format!("${}", self.bound.len())
    }

    fn joined(&mut self, all: &[TaskCondition], word: &str, empty: &str) {
        if all.is_empty() {
            self.text.push_str(empty);
        }
        for (at, inner) in all.iter().enumerate() {
            self.text.push_str(if at == 0 { "(" } else { word });
            self.write(inner);
        }
        if !all.is_empty() {
            self.text.push(')');
        }
    }

    fn write(&mut self, condition: &TaskCondition) {
        match condition {
            TaskCondition::All(all) => self.joined(all, " and ", "(1 = 1)"),
            TaskCondition::Any(any) => self.joined(any, " or ", "(1 = 0)"),
            TaskCondition::Not(inner) => {
                // What cannot be compared does not hold, so its contrary does.
                self.text.push_str("(not coalesce(");
                self.write(inner);
                self.text.push_str(", 1 = 0))");
            }
            TaskCondition::Search(text) => {
                // Every row is looked at: one pattern over small letters costs half of what replacing does.
                let place = self.place(Bound::Text(pattern(text)));
                let parts: Vec<String> =
                    SEARCHED.iter().map(|column| format!("lower({}) like {place} escape '!'", column.sql())).collect();
                self.text.push_str(&format!("({})", parts.join(" or ")));
            }
            TaskCondition::Compare(TaskColumn::Done, Comparison::Eq, Bound::Int(done @ (0 | 1))) => {
                // In words that an index knows: of many tasks few have not ended.
                self.text.push_str(if *done == 0 { "(finished_at is null)" } else { "(finished_at is not null)" });
            }
            TaskCondition::Compare(TaskColumn::Done, Comparison::Ne, Bound::Int(done @ (0 | 1))) => {
                self.text.push_str(if *done == 0 { "(finished_at is not null)" } else { "(finished_at is null)" });
            }
            TaskCondition::Compare(column, comparison, value) => {
                let (name, place) = (column.sql(), self.place(value.clone()));
                let absent = if *comparison == Comparison::Ne { format!("{name} is null or ") } else { String::new() };
                self.text.push_str(&format!("({absent}{name} {} {place})", comparison.sql()));
            }
            TaskCondition::In(column, values, whole) => {
                let name = column.sql();
                let mut parts: Vec<String> =
                    values.iter().map(|value| format!("{name} = {}", self.place(value.clone()))).collect();
                if column.is_text() {
                    let place = self.place(Bound::Text(whole.clone()));
                    parts.push(format!("replace({place}, {name}, '') <> {place}"));
                }
                let none = if parts.is_empty() { "1 = 0" } else { "" };
                self.text.push_str(&format!("({none}{})", parts.join(" or ")));
            }
            TaskCondition::Contains(column, text) => {
                let (name, place) = (column.sql(), self.place(Bound::Text(text.clone())));
                // Without the signs that patterns have, and with the same meaning of letters on every engine.
                let name = if column.is_text() { name.to_owned() } else { format!("cast({name} as text)") };
                self.text.push_str(&format!("(replace({name}, {place}, '') <> {name})"));
            }
        }
    }
}

/// A pattern that finds a text anywhere, with its own signs taken literally.
fn pattern(text: &str) -> String {
    let mut pattern = String::from("%");
    for sign in text.chars() {
        if matches!(sign, '%' | '_' | '!') {
            pattern.push('!');
        }
        pattern.push(sign);
    }
    pattern.push('%');
    pattern
}

fn order_of(sort: &[(TaskColumn, bool)]) -> String {
    let mut parts: Vec<String> = sort
        .iter()
        .map(|(column, descending)| format!("{} {}", column.sql(), if *descending { "desc" } else { "asc" }))
        .collect();
    if !sort.iter().any(|(column, _)| *column == TaskColumn::Id) {
        // Ties are broken in the direction of the order, so that an index that ends with the number serves it whole.
        let up = sort.last().is_some_and(|(_, descending)| !descending);
        parts.push(if up { "id asc".into() } else { "id desc".into() });
    }
    parts.join(", ")
}

macro_rules! bind_all {
    ($query:expr, $bound:expr) => {
        $bound.into_iter().fold($query, |query, value| match value {
            Bound::Int(number) => query.bind(number),
            Bound::Real(number) => query.bind(number),
            Bound::Text(text) => query.bind(text),
        })
    };
}

/// The tasks of a page, and how many there are under its condition.
///
/// # Errors
/// See [`crate::store::Error`].
pub async fn task_page(connection: &mut Connection, query: &TaskQuery) -> Result<(Vec<Task>, u64)> {
    let mut clause = Clause::default();
    if let Some(condition) = &query.condition {
        clause.text.push_str("where ");
        clause.write(condition);
    }
    // Names of columns and operators are ours; everything that a caller says is bound.
    let count = format!("select count(*) from task {}", clause.text);
    let row =
        bind_all!(sqlx::query(sqlx::AssertSqlSafe(count)), clause.bound.clone()).fetch_one(&mut *connection).await?;
    let total = u64::try_from(row.try_get::<i64, _>(0)?).unwrap_or(0);
    let page = format!(
        "select id, kind, name, state, host_id, machine_id, started_by, started_at, finished_at, progress_complete, \
         progress_total, cancelled, status_code, result, object, question, \
         substr(output, length(output) - {}) as output from task {} order by {} limit {} offset {}",
        i64::from(query.output) - 1,
        clause.text,
        order_of(&query.sort),
        query.limit,
        i64::try_from(query.after).unwrap_or(i64::MAX),
    );
    let rows = bind_all!(sqlx::query(sqlx::AssertSqlSafe(page)), clause.bound).fetch_all(connection).await?;
    let tasks: Result<Vec<Task>> = rows.iter().map(task_from).collect();
    Ok((tasks?, total))
}

/// Tasks that have not ended, newest first.
///
/// # Errors
/// See [`crate::store::Error`].
pub async fn task_active(connection: &mut Connection, limit: u32) -> Result<Vec<Task>> {
    let rows = sqlx::query("select * from task where state in ('WAITING', 'RUNNING') order by id desc limit $1")
        .bind(i64::from(limit))
        .fetch_all(connection)
        .await?;
    rows.iter().map(task_from).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_a_caller_says_stands_in_the_text() {
        let evil = "'; drop table task; --".to_owned();
        let condition = TaskCondition::All(vec![
            TaskCondition::Search(evil.clone()),
            TaskCondition::Not(Box::new(TaskCondition::Contains(TaskColumn::Id, evil.clone()))),
            TaskCondition::Any(vec![
                TaskCondition::In(TaskColumn::Name, vec![Bound::Text(evil.clone())], evil.clone()),
                TaskCondition::Compare(TaskColumn::Object, Comparison::Ne, Bound::Text(evil)),
            ]),
            TaskCondition::Any(Vec::new()),
        ]);
        let mut clause = Clause::default();
        clause.write(&condition);
        assert!(!clause.text.contains("drop"), "{}", clause.text);
        assert_eq!(clause.bound.len(), 5);
        assert!(clause.text.contains("$5"));
    }

    #[test]
    fn signs_of_patterns_are_taken_literally() {
        assert_eq!(pattern("50%_a!\\"), "%50!%!_a!!\\%");
    }

    #[test]
    fn orders_are_total() {
        assert_eq!(order_of(&[]), "id desc");
        assert_eq!(order_of(&[(TaskColumn::StartedAt, true)]), "started_at desc, id desc");
        assert_eq!(order_of(&[(TaskColumn::Name, false)]), "name asc, id asc");
        assert_eq!(order_of(&[(TaskColumn::Id, false)]), "id asc");
    }
}
