//! What is said of a hook on the command line.

use clap::Args;
use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use hostler_common::hook::HookPoint;
use serde_json::{Map, Value, json};

use crate::client::Client;
use crate::commands::select::{self, HostsArgs};
use crate::commands::values;
use crate::context::Context;
use crate::failure::Failure;

/// The names of all moments in any case of letters, for checks and completions.
pub fn events() -> impl TypedValueParser<Value = String> {
    let names = HookPoint::ALL.iter().map(|point| PossibleValue::new(point.name()).help(point.description()));
    PossibleValuesParser::new(names).map(|given| {
        let known = HookPoint::ALL.iter().map(|point| point.name()).find(|name| name.eq_ignore_ascii_case(&given));
        known.map_or(given, str::to_owned)
    })
}

/// A hook to be made.
#[derive(Args, Debug)]
pub struct AddArgs {
    /// At which moment; `hook points` explains them
    #[arg(ignore_case = true, value_parser = events(), hide_possible_values = true)]
    pub event: String,
    /// Name or number of the script
    #[arg(long, value_name = "NAME")]
    pub script: String,
    /// Where.
    #[command(flatten)]
    pub place: PlaceArgs,
    /// How.
    #[command(flatten)]
    pub options: OptionArgs,
}

/// A hook to be changed, and what.
#[derive(Args, Debug)]
pub struct EditArgs {
    /// Number of the hook
    pub id: i64,
    /// Bind it to another moment
    #[arg(long, ignore_case = true, value_parser = events(), hide_possible_values = true)]
    pub event: Option<String>,
    /// Have it run another script
    #[arg(long, value_name = "NAME")]
    pub script: Option<String>,
    /// Where.
    #[command(flatten)]
    pub place: PlaceArgs,
    /// How.
    #[command(flatten)]
    pub options: OptionArgs,
}

/// Where a hook runs; only for moments at hosts.
#[derive(Args, Debug)]
pub struct PlaceArgs {
    /// On these hosts: names, numbers or UUIDs
    #[arg(long, value_delimiter = ',', value_name = "HOST,...", conflicts_with = "all")]
    on: Vec<String>,
    /// On all hosts, also those that come later
    #[arg(long)]
    all: bool,
}

/// How a hook runs; what is not named stays as it is.
#[derive(Args, Debug, Default)]
pub struct OptionArgs {
    /// Whether it runs at all
    #[arg(long, value_name = "BOOL")]
    enabled: Option<bool>,
    /// Hooks of one moment run by this; usually 100
    #[arg(long, value_name = "NUMBER", allow_negative_numbers = true)]
    order: Option<i32>,
    /// What a failure does where something waits for it
    #[arg(long, value_name = "WHAT", value_parser = ["block", "warn", "ignore"])]
    on_failure: Option<String>,
    /// How long the script may take
    #[arg(long, value_name = "TIME", value_parser = values::length)]
    timeout: Option<std::time::Duration>,
    /// Account under which it runs; an empty one means that of the agent
    #[arg(long, value_name = "USER")]
    run_as: Option<String>,
    /// Variable of its environment; all of them together replace those before
    #[arg(long, value_name = "NAME=VALUE", value_parser = values::pair)]
    env: Vec<(String, String)>,
    /// A stored secret that it finds as this file in $CREDENTIALS_DIRECTORY; all of them together replace those before
    #[arg(long, value_name = "FILE=SECRET", value_parser = values::pair)]
    secret: Vec<(String, String)>,
    /// Run on at most so many hosts at a time; 0 means any number
    #[arg(long, value_name = "NUMBER")]
    max_parallel: Option<u32>,
    /// What it reads from its standard input
    #[arg(long, value_name = "WHAT", value_parser = ["none", "json"])]
    stdin: Option<String>,
    /// Whether it also runs at what others than Hostler brought about
    #[arg(long, value_name = "BOOL")]
    external: Option<bool>,
    /// Whether processes that it leaves behind live on
    #[arg(long, value_name = "BOOL")]
    leave_children: Option<bool>,
    /// Keep to this revision of the script; 0 means the newest
    #[arg(long, value_name = "NUMBER")]
    revision: Option<u32>,
}

impl OptionArgs {
    /// The fields of the request.
    pub fn body(&self) -> Map<String, Value> {
        let texts = |pairs: &[(String, String)]| -> Option<Value> {
            let map = || pairs.iter().map(|(key, value)| (key.clone(), value.as_str().into())).collect::<Map<_, _>>();
            (!pairs.is_empty()).then(|| map().into())
        };
        let none_of_0 =
            |number: Option<u32>| number.map(|number| if number == 0 { Value::Null } else { number.into() });
        let fields = [
            ("enabled", self.enabled.map(Value::from)),
            ("order", self.order.map(Value::from)),
            ("onFailure", self.on_failure.as_deref().map(Value::from)),
            ("timeoutSeconds", self.timeout.map(|time| time.as_secs().into())),
            ("runAs", self.run_as.as_deref().map(|user| if user.is_empty() { Value::Null } else { user.into() })),
            ("env", texts(&self.env)),
            ("secrets", texts(&self.secret)),
            ("maxParallel", none_of_0(self.max_parallel)),
            ("stdin", self.stdin.as_deref().map(Value::from)),
            ("external", self.external.map(Value::from)),
            ("leaveChildren", self.leave_children.map(Value::from)),
            ("revision", none_of_0(self.revision)),
        ];
        fields.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?))).collect()
    }
}

/// Adds to a request where the hook runs, as far as that is said.
///
/// # Errors
/// A host that is named is not there.
pub async fn bind(
    context: &Context,
    client: &Client,
    place: &PlaceArgs,
    doing: &str,
    body: &mut Map<String, Value>,
) -> Result<(), Failure> {
    if place.all {
        body.insert("allServers".into(), true.into());
    } else if !place.on.is_empty() {
        let hosts = HostsArgs { on: place.on.clone(), ..HostsArgs::default() };
        let numbers = select::numbers(context, client, &hosts, doing).await?;
        body.insert("allServers".into(), false.into());
        body.insert("serverIds".into(), json!(numbers));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        args: EditArgs,
    }

    fn body(line: &str) -> Value {
        Line::try_parse_from(line.split(' ')).unwrap().args.options.body().into()
    }

    #[test]
    fn options_become_fields_and_what_is_not_named_stays() {
        assert_eq!(body("edit 1"), json!({}));
        assert_eq!(
            body(
                "edit 1 --enabled false --order -5 --on-failure warn --timeout 2m --env A=b --stdin json --max-parallel 3"
            ),
            json!({"enabled": false, "order": -5, "onFailure": "warn", "timeoutSeconds": 120, "env": {"A": "b"},
                "maxParallel": 3, "stdin": "json"})
        );
        assert_eq!(
            body("edit 1 --run-as= --revision 0 --max-parallel 0"),
            json!({"runAs": null, "maxParallel": null, "revision": null})
        );
    }

    #[test]
    fn moments_are_known_in_any_case_of_letters() {
        let args = Line::try_parse_from(["edit", "1", "--event", "preformatdisk"]).unwrap().args;
        assert_eq!(args.event.as_deref(), Some("PreFormatDisk"));
        assert!(Line::try_parse_from(["edit", "1", "--event", "never"]).is_err());
    }
}
