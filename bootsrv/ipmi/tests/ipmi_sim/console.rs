//! The serial console: what is written at the system's serial port comes out here as in ipmitool.

use crate::support::capture::Capture;
use crate::support::ipmitool::missing;
use crate::support::network::{Network, Weather};
use crate::support::{ADMIN, IMPATIENT, PROGRAMS, Simulator};
use ipmi::{
    CaptureEvent, CaptureState, ClientConfig, ConsoleCapture, ControllerAddress, Error,
    SerialConsole,
};
use std::process::Stdio;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::Child;
use tokio::time::{sleep, timeout};

const SECONDS_MAX: Duration = Duration::from_secs(15);

/// A simulator, and the system's end of its serial port.
async fn started() -> (Simulator, TcpListener, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let simulator = Simulator::start_with_serial(listener.local_addr().unwrap()).await;
    let port = timeout(SECONDS_MAX, listener.accept()).await.unwrap().unwrap().0;
    (simulator, listener, port)
}

async fn wait(what: &str, mut done: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !done() {
        assert!(begun.elapsed() < SECONDS_MAX, "never: {what}");
        sleep(Duration::from_millis(20)).await;
    }
}

fn capture(simulator: &Simulator) -> Capture {
    Capture::start(simulator.address(ADMIN), IMPATIENT, 50)
}

async fn opened(capture: &Capture) {
    wait("open", || capture.state() == CaptureState::Open).await;
}

/// `ipmitool sol activate`, once it has the console.
async fn ipmitool_console(simulator: &Simulator, port: &mut TcpStream) -> Child {
    let mut child = simulator
        .tool()
        .command("sol activate")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let begun = Instant::now();
    let mut text = Vec::new();
    while !String::from_utf8_lossy(&text).contains("hello ipmitool") {
        assert!(begun.elapsed() < SECONDS_MAX, "{}", String::from_utf8_lossy(&text));
        port.write_all(b"hello ipmitool\r\n").await.unwrap();
        let read = child.stdout.as_mut().unwrap().read_buf(&mut text);
        drop(timeout(Duration::from_millis(200), read).await);
    }
    child
}

#[tokio::test]
async fn what_the_system_writes_is_kept() {
    if missing(&PROGRAMS) {
        return;
    }
    let (simulator, _listener, mut port) = started().await;
    let capture = capture(&simulator);
    opened(&capture).await;
    let mut wanted = Vec::new();
    for number in 0..200 {
        let line = format!("\x1b[32m[{number:5}]\x1b[0m a line of a kernel that boots {number}");
        port.write_all(format!("{line}\r\n").as_bytes()).await.unwrap();
        wanted.push(format!("[{number:5}] a line of a kernel that boots {number}"));
    }
    port.write_all(b"Kernel panic - not syncing: no init").await.unwrap();
    wanted.push("Kernel panic - not syncing: no init".to_owned());
    let wanted = wanted.split_off(wanted.len() - 50);
    wait("the last line", || capture.lines().last() == wanted.last()).await;
    assert_eq!(capture.stop().await, wanted);

    // Given back: ipmitool has it at once, and sees what we see.
    let mut tool = ipmitool_console(&simulator, &mut port).await;
    tool.stdin.as_mut().unwrap().write_all(b"~.").await.unwrap();
    timeout(SECONDS_MAX, tool.wait()).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_console_in_use_is_told_and_may_be_taken() {
    if missing(&PROGRAMS) {
        return;
    }
    let (simulator, _listener, mut port) = started().await;
    let mut tool = ipmitool_console(&simulator, &mut port).await;
    let client = simulator.connect(ADMIN).await.unwrap();
    let error = SerialConsole::open(client).await.unwrap_err();
    assert!(matches!(error, Error::ConsoleInUse { .. }), "{error:?}");
    let capture = capture(&simulator);
    wait("in use", || capture.state() == CaptureState::InUse).await;
    let told = simulator.tool().fails("sol activate").await;
    assert!(told.contains("SOL payload already active on another session"), "{told}");

    let client = simulator.connect(ADMIN).await.unwrap();
    let mut console = SerialConsole::take_over(client).await.unwrap();
    port.write_all(b"ours now").await.unwrap();
    assert_eq!(timeout(SECONDS_MAX, console.read()).await.unwrap().unwrap(), b"ours now");
    timeout(SECONDS_MAX, tool.wait()).await.unwrap().unwrap();
    console.close().await.unwrap();
    opened(&capture).await;
}

#[tokio::test]
async fn a_console_that_is_taken_away_is_asked_for_again() {
    if missing(&PROGRAMS) {
        return;
    }
    let (simulator, _listener, mut port) = started().await;
    let capture = capture(&simulator);
    opened(&capture).await;
    port.write_all(b"before\r\n").await.unwrap();
    wait("before", || capture.lines() == ["before"]).await;
    simulator.ipmitool("sol deactivate").await;
    wait("lost", || matches!(capture.state(), CaptureState::Lost(_))).await;
    let CaptureState::Lost(reason) = capture.state() else { return };
    assert!(reason.contains("ended the serial console"), "{reason}");
    opened(&capture).await;
    port.write_all(b"after\r\n").await.unwrap();
    wait("after", || capture.lines() == ["before", "after"]).await;
}

#[tokio::test]
async fn a_lost_session_is_noticed_and_replaced() {
    if missing(&PROGRAMS) {
        return;
    }
    let (mut simulator, listener, mut port) = started().await;
    let config = ClientConfig { tries: 3, ..IMPATIENT };
    let capture = Capture::start(simulator.address(ADMIN), config, 50);
    opened(&capture).await;
    // Silence is not taken for a loss.
    sleep(config.keep_alive * 4).await;
    assert_eq!(capture.state(), CaptureState::Open);
    port.write_all(b"before\r\n").await.unwrap();
    wait("before", || capture.lines() == ["before"]).await;
    simulator.restart().await;
    let mut port = timeout(SECONDS_MAX, listener.accept()).await.unwrap().unwrap().0;
    wait("lost", || matches!(capture.state(), CaptureState::Lost(_))).await;
    opened(&capture).await;
    port.write_all(b"after\r\n").await.unwrap();
    wait("after", || capture.lines() == ["before", "after"]).await;
}

/// A capture whose program was killed: the controller keeps its session, and the console with it.
#[tokio::test]
async fn a_console_is_taken_from_a_dead_session_of_ours_and_from_no_other() {
    if missing(&PROGRAMS) {
        return;
    }
    let (simulator, _listener, mut port) = started().await;
    let clear = Weather { lost_percent: 0, late_percent: 0, delay: Duration::ZERO };
    let network = Network::to(simulator.addr(), clear).await;
    let follow = |address, former| {
        let (tell, told) = std::sync::mpsc::channel();
        let capture = ConsoleCapture::start(address, IMPATIENT, former, move |event| match event {
            CaptureEvent::Bytes(bytes) => drop(tell.send((None, bytes.to_vec()))),
            CaptureEvent::Session(session) => drop(tell.send((Some(session), vec![]))),
            CaptureEvent::State(_) => {}
        });
        (capture, told)
    };
    let address = ControllerAddress { addr: network.addr, ..simulator.address(ADMIN) };
    let (killed, told) = follow(address, None);
    let mut session = None;
    wait("its session", || {
        session = told.try_recv().ok().and_then(|(session, _)| session);
        session.is_some()
    })
    .await;
    // Its last words do not arrive.
    drop(network);
    drop(killed);

    let (stranger, _told) = follow(simulator.address(ADMIN), session.map(|id| id ^ 1));
    wait("in use", || stranger.state() == CaptureState::InUse).await;
    drop(stranger);
    let (next, told) = follow(simulator.address(ADMIN), session);
    wait("open", || next.state() == CaptureState::Open).await;
    port.write_all(b"ours again").await.unwrap();
    let mut text = Vec::new();
    wait("a line", || {
        told.try_iter().for_each(|(_, bytes)| text.extend(bytes));
        text == b"ours again"
    })
    .await;
    next.stop().await;
}

#[tokio::test]
async fn a_lossy_network_doubles_nothing() {
    if missing(&PROGRAMS) {
        return;
    }
    let (simulator, _listener, mut port) = started().await;
    let weather = Weather { lost_percent: 20, late_percent: 0, delay: Duration::ZERO };
    let network = Network::to(simulator.addr(), weather).await;
    let mut address = simulator.address(ADMIN);
    address.addr = network.addr;
    let capture = Capture::start(address, IMPATIENT, 100);
    opened(&capture).await;
    let wanted: Vec<_> = (0..40).map(|number| format!("line {number}")).collect();
    for line in &wanted {
        port.write_all(format!("{line}\r\n").as_bytes()).await.unwrap();
        sleep(Duration::from_millis(10)).await;
    }
    wait("all lines", || capture.lines() == wanted).await;
    assert!(network.lost() > 0);
}

#[tokio::test]
async fn a_controller_without_a_console_is_told_once() {
    if missing(&PROGRAMS) {
        return;
    }
    let simulator = Simulator::start().await;
    let capture = capture(&simulator);
    wait("failed", || matches!(capture.state(), CaptureState::Failed(_))).await;
    assert_eq!(capture.stop().await, Vec::<String>::new());
    let wrong = Capture::start(simulator.address(("admin", "wrong")), IMPATIENT, 50);
    wait("refused", || matches!(wrong.state(), CaptureState::Failed(_))).await;
}
