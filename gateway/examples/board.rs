//! Shows the pages on loopback with a made-up fleet, for looking at them: `cargo run -p milepost-gateway --example
//! board -- 127.0.0.1:8090`, then sign in to fleet `north` as `ada` with the password that is printed. Ends when its input does.

#[path = "../tests/pages/world.rs"]
mod world;

use std::net::SocketAddr;
use std::sync::Arc;

use milepost_gateway::pages::{PageState, router};
use milepost_gateway::store::Store;

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let address: SocketAddr = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:8090".to_owned()).parse()?;
    let folder = tempfile::tempdir()?;
    let store = Store::open(&folder.path().join("gateway.sqlite"))?;
    world::make(&store).await;
    let key = milepost_gateway::auth::create_api_key(
        &store,
        &world::fleet("north"),
        "looking",
        &[milepost_gateway::auth::Scope::Read],
    )
    .await?;
    println!("http://{address}/  fleet north, name ada, password {:?}, key {key}", world::PASSWORD);
    let state = PageState::new(store, Arc::new(|| world::NOW), Arc::new(String::new));
    let service = router(state).into_make_service_with_connect_info::<SocketAddr>();
    axum::serve(tokio::net::TcpListener::bind(address).await?, service).await?;
    Ok(())
}
