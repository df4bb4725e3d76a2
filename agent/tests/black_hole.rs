//! The real client against a network that swallows everything without a word: what was under way hangs, and evidence
//! arrives all the same, by a connection of its own.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::routing::post;
use milepost_agent::event::{Event, Uplinked};
use milepost_agent::uplink::client::GatewayClient;
use milepost_agent::uplink::outgoing::{self, Outgoing, Parcel};
use milepost_agent::uplink::{Slot, Ticket};
use milepost_proto::{BootId, SpoolId, UplinkAnswer, UplinkRequest, wire};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};

/// A gateway that answers every request and tells of it.
async fn gateway(heard: mpsc::Sender<u64>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let router = Router::new().route("/v1/batches", post(take)).with_state(heard);
    tokio::spawn(async move { axum::serve(listener, router).await });
    address
}

async fn take(State(heard): State<mpsc::Sender<u64>>, body: Bytes) -> Vec<u8> {
    let (version, request) = wire::decode_request(&body).expect("a request");
    heard.send(request.monotonic_ms).await.expect("the test listens");
    let answer = UplinkAnswer { receipts: Vec::new(), down_link: Vec::new(), blobs: Vec::new() };
    wire::encode_answer(version, request.spool_id, &answer).expect("encodes")
}

/// A way to `to` whose connections swallow everything, once `hole` says so; those made later work.
async fn black_hole(to: SocketAddr, hole: watch::Receiver<bool>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move {
        while let Ok((near, _)) = listener.accept().await {
            let far = TcpStream::connect(to).await.expect("the gateway");
            let mut hole = hole.clone();
            let falls_in = !*hole.borrow_and_update();
            let ((near_read, near_write), (far_read, far_write)) = (near.into_split(), far.into_split());
            let swallow = |hole: &watch::Receiver<bool>| falls_in.then(|| hole.clone());
            tokio::spawn(carry(near_read, far_write, swallow(&hole)));
            tokio::spawn(carry(far_read, near_write, swallow(&hole)));
        }
    });
    address
}

async fn carry(
    mut from: tokio::net::tcp::OwnedReadHalf,
    mut to: tokio::net::tcp::OwnedWriteHalf,
    hole: Option<watch::Receiver<bool>>,
) {
    let mut bytes = [0; 4_096];
    while let Ok(count @ 1..) = from.read(&mut bytes).await {
        let is_swallowed = hole.as_ref().is_some_and(|hole| *hole.borrow());
        if !is_swallowed && to.write_all(&bytes[..count]).await.is_err() {
            return;
        }
    }
}

fn client(address: SocketAddr) -> GatewayClient {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let versions = rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let roots = rustls::RootCertStore::empty();
    let tls = versions.expect("versions").with_root_certificates(roots).with_no_client_auth();
    GatewayClient::new(&format!("http://{address}"), tls).expect("a client")
}

/// A heartbeat that can be told from others by its clock.
fn heartbeat(monotonic_ms: u64) -> Parcel {
    let request = UplinkRequest {
        agent_version: String::new(),
        spool_id: SpoolId([1; 16]),
        boot_id: BootId([2; 16]),
        monotonic_ms,
        low_water_mark: None,
        batches: Vec::new(),
        down_link_held: Vec::new(),
        blob_offers: Vec::new(),
    };
    Parcel::Request { spool_id: request.spool_id, envelope: wire::encode_request(&request).expect("encodes") }
}

#[tokio::test]
async fn what_goes_by_the_spare_connection_arrives_while_the_usual_one_is_dead() {
    let (heard_in, mut heard) = mpsc::channel(8);
    let (hole, has_hole) = watch::channel(false);
    let address = black_hole(gateway(heard_in).await, has_hole).await;
    let (events, mut inbox) = mpsc::channel(8);
    let mut carrier = outgoing::over_https(vec![client(address)], events);
    let bulk = Ticket { slot: Slot::Bulk, gateway: 0, spare: false };
    let urgent = Ticket { slot: Slot::Urgent, gateway: 0, spare: true };

    carrier(Outgoing { ticket: bulk, parcel: heartbeat(1) });
    assert!(matches!(inbox.recv().await, Some(Event::Uplinked(ticket, Ok(Uplinked::Answer(_)))) if ticket == bulk));
    hole.send_replace(true);
    carrier(Outgoing { ticket: bulk, parcel: heartbeat(2) });
    carrier(Outgoing { ticket: urgent, parcel: heartbeat(3) });
    let first = inbox.recv().await;
    assert!(matches!(first, Some(Event::Uplinked(ticket, Ok(Uplinked::Answer(_)))) if ticket == urgent), "{first:?}");
    assert_eq!([heard.recv().await, heard.recv().await], [Some(1), Some(3)]);
    assert!(heard.try_recv().is_err(), "what fell into the hole did not arrive");
}
