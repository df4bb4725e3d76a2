//! Small PNG images drawn here, so that the made-up world needs no files.

/// A signature-like stroke on white.
pub(super) fn signature() -> Vec<u8> {
    let (width, height) = (320_u32, 120_u32);
    let mut ink = vec![0xff_u8; (width * height * 3) as usize];
    let steps = 4000_u32;
    for step in 0..steps {
        let t = f64::from(step) / f64::from(steps);
        let x = 24.0 + 270.0 * t + 16.0 * (t * 31.0).sin();
        let y = 60.0 + 34.0 * (t * 23.0).cos() * (1.0 - 0.75 * t) + 10.0 * (t * 57.0).sin();
        for (dx, dy) in [(0, 0), (1, 0), (0, 1), (1, 1)] {
            let at = ((y as u32 + dy) * width + x as u32 + dx) as usize * 3;
            ink[at..at + 3].copy_from_slice(&[0x1b, 0x2a, 0x5c]);
        }
    }
    png(width, height, &ink)
}

/// Cartons on a floor, seen from the tail lift.
pub(super) fn cartons() -> Vec<u8> {
    let (width, height) = (240_u32, 180_u32);
    let shade = |x: u32, y: u32| -> [u8; 3] {
        let carton = (40..200).contains(&x) && (50..150).contains(&y);
        let tape = carton && ((x - 40) % 80 > 36 && (x - 40) % 80 < 44);
        let edge = carton && ((x - 40) % 80 < 2 || (y - 50) % 50 < 2);
        match (carton, tape, edge) {
            (_, _, true) => [0x6b, 0x4a, 0x2a],
            (_, true, _) => [0xd9, 0xc4, 0x9a],
            (true, ..) => [0xb0, 0x83, 0x52],
            _ if y > 140 => [0x77, 0x7a, 0x7d],
            _ => [0xb9, 0xc2, 0xc9],
        }
    };
    let pixels: Vec<u8> = (0..height).flat_map(|y| (0..width).flat_map(move |x| shade(x, y))).collect();
    png(width, height, &pixels)
}

/// An uncompressed PNG (RFC 2083) of 8-bit RGB pixels.
fn png(width: u32, height: u32, pixels: &[u8]) -> Vec<u8> {
    let mut rows = Vec::new();
    for row in pixels.chunks(width as usize * 3) {
        rows.push(0);
        rows.extend_from_slice(row);
    }
    let mut header = [width.to_be_bytes(), height.to_be_bytes()].concat();
    header.extend_from_slice(&[8, 2, 0, 0, 0]);
    let mut file = b"\x89PNG\r\n\x1a\n".to_vec();
    for (kind, body) in [(b"IHDR", header), (b"IDAT", stored(&rows)), (b"IEND", Vec::new())] {
        let checked = [kind.as_slice(), &body].concat();
        file.extend_from_slice(&u32::try_from(body.len()).expect("small").to_be_bytes());
        file.extend_from_slice(&checked);
        file.extend_from_slice(&milepost_proto::chunk::checksum(&checked).to_be_bytes());
    }
    file
}

/// A zlib stream (RFC 1950) of stored blocks.
fn stored(bytes: &[u8]) -> Vec<u8> {
    let mut stream = vec![0x78, 0x01];
    let mut blocks = bytes.chunks(0xffff).peekable();
    while let Some(block) = blocks.next() {
        stream.push(u8::from(blocks.peek().is_none()));
        let length = u16::try_from(block.len()).expect("at most 0xffff");
        stream.extend_from_slice(&length.to_le_bytes());
        stream.extend_from_slice(&(!length).to_le_bytes());
        stream.extend_from_slice(block);
    }
    let (low, high) = bytes.iter().fold((1_u32, 0_u32), |(low, high), &byte| {
        let low = (low + u32::from(byte)) % 65_521;
        (low, (high + low) % 65_521)
    });
    stream.extend_from_slice(&(high << 16 | low).to_be_bytes());
    stream
}
