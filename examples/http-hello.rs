//! The least web server, on any transport: `http-hello --net 'tap:h0?ip=10.7.0.2/24&host=10.7.0.1/24' 0.0.0.0:80`, then
//! `curl 10.7.0.2`. Every request is answered with `hello`, until SIGINT or SIGTERM.
use clap::Parser;
use hemi::{Pop, Push, Result, TcpListener, TcpQueue, framing, signal, spawn};
use hemi_examples::cli::{Common, exit, say};

#[derive(Parser)]
struct Cli {
    #[command(flatten)]
    common: Common,
    #[arg(default_value = "127.0.0.1:8080")]
    at: String,
}

fn main() -> std::process::ExitCode {
    let Cli { common, at } = Cli::parse();
    let ended = common.builder().build().and_then(|runtime| runtime.block_on(serve(at)));
    exit("http-hello", ended.map_err(Into::into))
}

async fn serve(at: String) -> Result<()> {
    let (asked, mut listener) = (signal::shutdown(), TcpListener::bind(at).await?);
    say(format_args!("listening tcp {}", listener.local_addr()?));
    spawn(async move {
        while let Ok(Some(conn)) = listener.pop().await {
            spawn(answer(conn));
        }
    });
    asked.await
}

async fn answer(conn: TcpQueue) -> Result<()> {
    let mut lines = framing::Framed::new(conn, framing::Lines::new());
    while let Some(line) = lines.pop().await? {
        if line.is_empty() {
            lines.get_mut().push("HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nhello\n").await?;
        }
    }
    lines.into_parts().queue.close().await
}
