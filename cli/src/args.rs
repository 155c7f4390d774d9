//! The command line as a whole: global options and the list of command groups.

use clap::{Parser, Subcommand};

use crate::commands::{
    agent, audit, ceph, clouds_yaml, completion, credential, event, hook, host, introspect, inventory, join_token,
    maintenance, project, role, rule, script, secret, step, task, user, webhook,
};
use crate::connect::ConnectArgs;
use crate::failure::EXIT_CODES;
use crate::output::Format;
use crate::up::UpArgs;

/// Look into, configure and maintain Ceph and KVM hosts through a Hostler manager.
#[derive(Parser, Debug)]
#[command(name = "hostler", version, after_help = after_help(), max_term_width = 110, arg_required_else_help = true)]
pub struct Cli {
    /// How to find the manager.
    #[command(flatten)]
    pub connect: ConnectArgs,
    /// Form of the data on standard output
    #[arg(short, long, global = true, value_enum, default_value_t, value_name = "FORMAT")]
    pub output: Format,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// Every command group; each has a file in `commands/`.
#[derive(Subcommand, Debug)]
pub enum Command {
    /// Start a manager and an agent on this machine, introspect it and serve until Ctrl-C
    Up(UpArgs),
    /// Hosts that run an agent
    #[command(subcommand)]
    Host(host::HostCommand),
    /// Read the facts of hosts now
    Introspect(introspect::IntrospectArgs),
    /// What introspections found, and how it changed
    #[command(subcommand)]
    Inventory(inventory::InventoryCommand),
    /// Rules that run on every introspection
    #[command(subcommand)]
    Rule(rule::RuleCommand),
    /// Tokens with which hosts enrol
    #[command(subcommand)]
    JoinToken(join_token::JoinTokenCommand),
    /// Agents of hosts
    #[command(subcommand)]
    Agent(agent::AgentCommand),
    /// Programs of yours that run on hosts
    #[command(subcommand)]
    Script(script::ScriptCommand),
    /// Scripts bound to moments
    #[command(subcommand)]
    Hook(hook::HookCommand),
    /// Values that scripts get and nobody reads back
    #[command(subcommand)]
    Secret(secret::SecretCommand),
    /// Changes of a host
    #[command(subcommand)]
    Step(step::StepCommand),
    /// Changes of a Ceph cluster and of its disks
    #[command(subcommand)]
    Ceph(ceph::CephCommand),
    /// Hosts taken out of service, worked on and brought back, one after the other
    #[command(subcommand)]
    Maintenance(maintenance::MaintenanceCommand),
    /// Who changed what through the manager
    #[command(subcommand)]
    Audit(audit::AuditCommand),
    /// Long-running things that somebody asked for
    #[command(subcommand)]
    Task(task::TaskCommand),
    /// What happened, in order
    #[command(subcommand)]
    Event(event::EventCommand),
    /// Programs elsewhere that are told of events
    #[command(subcommand)]
    Webhook(webhook::WebhookCommand),
    /// Users of the built-in identity service
    #[command(subcommand)]
    User(user::UserCommand),
    /// Projects of the built-in identity service
    #[command(subcommand)]
    Project(project::ProjectCommand),
    /// Roles and who has them where
    #[command(subcommand)]
    Role(role::RoleCommand),
    /// Application credentials of a user
    #[command(subcommand)]
    Credential(credential::CredentialCommand),
    /// Print a clouds.yaml for the stock OpenStack clients
    CloudsYaml(clouds_yaml::CloudsYamlArgs),
    /// Print the completion script of a shell
    Completion(completion::CompletionArgs),
}

fn after_help() -> String {
    let mut text = String::from("Exit codes:\n");
    for (code, meaning) in EXIT_CODES {
        text.push_str(&format!("  {code:>3}  {meaning}\n"));
    }
    text.push_str(
        "\nThe manager is found by --url and --token, else HOSTLER_URL and HOSTLER_TOKEN (or HOSTLER_USERNAME,\n\
         HOSTLER_PASSWORD and HOSTLER_PROJECT), else by what `hostler up` wrote on this machine.",
    );
    text
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn help_lists_every_exit_code() {
        let help = Cli::command().render_help().to_string();
        for (_, meaning) in EXIT_CODES {
            let first = meaning.split(' ').take(3).collect::<Vec<_>>().join(" ");
            assert!(help.contains(&first), "{meaning}");
        }
    }

    #[test]
    fn global_options_stand_anywhere() {
        for line in
            ["hostler -o json host list", "hostler host list -o json --url http://a", "hostler host -o json list"]
        {
            let cli = Cli::try_parse_from(line.split(' ')).unwrap();
            assert_eq!(cli.output, Format::Json, "{line}");
        }
    }

    #[test]
    fn wrong_lines_are_usage_errors() {
        for line in [
            "hostler",
            "hostler hosts",
            "hostler introspect",
            "hostler introspect a --all",
            "hostler inventory diff",
            "hostler join-token create --uses -1",
            "hostler join-token create --expires 3x",
            "hostler task show x",
            "hostler up --listen nowhere",
            "hostler host set a",
            "hostler host set a --label b",
            "hostler completion tcl",
            "hostler host list -o xml",
        ] {
            assert!(Cli::try_parse_from(line.split(' ')).is_err(), "{line}");
        }
    }

    #[test]
    fn every_command_is_on_the_page() {
        let page = include_str!("../../docs/cli.md");
        for group in Cli::command().get_subcommands() {
            let name = group.get_name();
            assert!(
                page.contains(&format!("`{name}")) || page.contains(&format!("hostler {name}")),
                "docs/cli.md lacks {name}"
            );
            for command in group.get_subcommands() {
                let line = format!("`{name} {}", command.get_name());
                assert!(page.contains(&line), "docs/cli.md lacks {line}`");
            }
        }
    }
}
