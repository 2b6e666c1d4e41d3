//! Command line of the load generator: `drive` measures a server, `serve` is one.
//!
//! It is a program of its own, in Rust, because a generator in Python would be the slower side and the
//! benchmark would measure it instead of the server.

mod bulk;
mod connect;
mod cpu_clock;
mod drive;
mod echo;
mod serve;
#[cfg(feature = "tls")]
mod serve_tls;
mod serve_udp;
mod stream;
mod udp;

use std::io::Read;
use std::process::ExitCode;

const USAGE: &str = "usage: ferrio-loadgen serve LOAD [CERTIFICATE KEY]
       ferrio-loadgen drive LOAD PORT CONNECTIONS MESSAGE_BYTES WARM_UP_MS MEASURE_MS SERVER_PID
LOAD: echo, connect, send, receive (as the generator sees it), udp; tls-echo, tls-connect, tls-resume, tls-send,
tls-receive, for which the server has a certificate";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let Some((command, args)) = args.split_first() else { return usage() };
    let Some((kind, layer)) = args.first().and_then(|name| drive::parse(name)) else { return usage() };
    let outcome = match command.as_str() {
        "serve" => {
            end_with_stdin();
            match (layer, kind, &args[1..]) {
                (stream::Layer::Plain, drive::Kind::Udp, []) => serve_udp::run(),
                (stream::Layer::Plain, _, []) => serve::run(kind),
                #[cfg(feature = "tls")]
                (stream::Layer::Tls { .. }, _, [certificate, key]) => serve_tls::run(kind, certificate, key),
                _ => return usage(),
            }
        }
        "drive" => match drive::Plan::parse(kind, layer, &args[1..]) {
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

/// Ends this process when its standard input does, so that it cannot outlive the run that started it. A thread
/// that blocks in `read` costs the measured loop nothing.
fn end_with_stdin() {
    std::thread::spawn(|| {
        let _ = std::io::stdin().read_to_end(&mut Vec::new());
        std::process::exit(0);
    });
}

fn usage() -> ExitCode {
    eprintln!("{USAGE}");
    ExitCode::from(2)
}
