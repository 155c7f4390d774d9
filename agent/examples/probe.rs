//! Runs a probe of this machine, or of a recorded tree, and prints its document.

use clap::Parser;
use hostler_agent::probes;

#[derive(Parser)]
struct Cli {
    #[command(flatten)]
    probe: probes::Arguments,
}

fn main() -> std::io::Result<()> {
    probes::run_cli(Cli::parse().probe, &mut std::io::stdout().lock())
}
