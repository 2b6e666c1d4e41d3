//! Command line of the load generator: `drive` measures an echo server, `serve` is one.
//!
//! It is a program of its own, in Rust, because a generator in Python would be the slower side and the
//! benchmark would measure it instead of the server.

mod cpu_clock;
mod drive;
mod serve;

use std::process::ExitCode;

const USAGE: &str = "usage: ferrio-loadgen serve
       ferrio-loadgen drive PORT CONNECTIONS MESSAGE_BYTES WARM_UP_MS MEASURE_MS SERVER_PID";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let outcome = match args.first().map(String::as_str) {
        Some("serve") if args.len() == 1 => serve::run(),
        Some("drive") if args.len() == 7 => match drive::Plan::parse(&args[1..]) {
            Some(plan) => drive::run(&plan),
            None => return usage(),
        },
        _ => return usage(),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("ferrio-loadgen: {error}");
            ExitCode::FAILURE
        }
    }
}

fn usage() -> ExitCode {
    eprintln!("{USAGE}");
    ExitCode::from(2)
}
