//! The table of transitions, pair by pair (spec/introspection.md §2.1).

use super::{Event, State, TRANSITIONS};

/// The table once more, one row a state in the order of [`State::ALL`], one letter an event in that of [`Event::ALL`]:
/// the initial of the state after it, `g` for aborting, `-` where there is no transition.
const TABLE: [(State, &str); 8] = [
    //                  start wait process finish error reapply abort abort_end timeout enrol
    (State::Starting, "-w--e-g-e-"),
    (State::Waiting, "s-p-e-g-e-"),
    (State::Processing, "---fe-g-e-"),
    (State::Finished, "s--f-r----"),
    (State::Error, "s---ere---"),
    (State::Reapplying, "---ferg-e-"),
    (State::Enrolling, "--p-e---e-"),
    (State::Aborting, "-------ee-"),
];

fn letter(state: State) -> char {
    match state {
        State::Starting => 's',
        State::Waiting => 'w',
        State::Processing => 'p',
        State::Finished => 'f',
        State::Error => 'e',
        State::Reapplying => 'r',
        State::Enrolling => 'n',
        State::Aborting => 'g',
    }
}

#[test]
fn spec_8_5_every_pair_of_state_and_event() {
    for (index, (state, row)) in TABLE.into_iter().enumerate() {
        assert_eq!(state, State::ALL[index]);
        assert_eq!(row.len(), Event::ALL.len());
        for (event, want) in Event::ALL.into_iter().zip(row.chars()) {
            match state.on(event) {
                Ok(next) => assert_eq!(letter(next), want, "{state} on {}", event.name()),
                Err(refused) => {
                    assert_eq!(want, '-', "{state} on {}", event.name());
                    let text = format!(
                        "Can not transition from state '{state}' on event '{}' (no defined transition)",
                        event.name()
                    );
                    assert_eq!(refused.to_string(), text);
                }
            }
        }
    }
}

#[test]
fn no_pair_stands_in_the_table_twice() {
    for (index, (from, event, _)) in TRANSITIONS.iter().enumerate() {
        let again = TRANSITIONS[index + 1..].iter().any(|(other, same, _)| other == from && same == event);
        assert!(!again, "{from} on {}", event.name());
    }
}

#[test]
fn names_read_back_and_are_exact() {
    for state in State::ALL {
        assert_eq!(State::from_name(state.name()), Some(state));
        assert_eq!(serde_json::to_value(state).unwrap(), state.name());
        assert_eq!(State::from_name(&state.name().to_uppercase()), None);
    }
    assert_eq!(State::from_name(""), None);
}

#[test]
fn every_state_but_the_terminal_ones_ends_by_time() {
    for state in State::ALL {
        assert_eq!(state.on(Event::Timeout).is_ok(), !state.is_terminal(), "{state}");
    }
}
